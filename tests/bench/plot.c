/* The picture: queries per second and client CPU per query against how many are in flight, a line for each contender,
 * a row of panels for each server. Both scales are logarithmic: equal ratios are equal distances. Where several shapes
 * have as many in flight (4 x 16, 16 x 4), the best of a contender counts, for each panel by itself. */
#include <errno.h>
#include <string.h>
#include "bench.h"

enum { PANEL_W = 430, PANEL_H = 300, LEFT = 70, TOP = 64, GAP_X = 190, GAP_Y = 110, POINTS_MAX = 16 };

static const struct panel {
    const char *title, *unit;
    bool low_is_good;
} panels[] = {
    { "Throughput", "queries/s", false },
    { "Client CPU", "\xc2\xb5s per query", true },
};
enum { PANELS = sizeof panels / sizeof *panels };

/* Told apart without colour as well: each line has its name at its end. */
static const struct look {
    const char *contender, *colour, *dashes;
} looks[] = {
    { "ringpg-shared", "#0b6bcb", "none" },  { "ringpg-lease", "#4aa3f0", "none" }, { "floor", "#6b7280", "5 4" },
    { "libpq-pipeline", "#c2410c", "none" }, { "libpq-epoll", "#e8892b", "none" },
    { "tokio-postgres", "#7c3aed", "none" }, { "postgres.js", "#a16207", "none" },  { "pgbench", "#15803d", "5 4" },
    { "pgx", "#0f766e", "none" },            { "asyncpg", "#a21caf", "none" },      { "psycopg", "#6d28d9", "5 4" },
    { "pg", "#be123c", "none" },
};
enum { LOOKS = sizeof looks / sizeof *looks };

struct line {
    unsigned in_flight[POINTS_MAX], count;
    double figure[POINTS_MAX];
};

struct scale {
    double least, most; /* of the panel's figures, rounded out to 1, 2 or 5 times a power of ten */
    unsigned most_in_flight;
};

static double figure_of(const struct bench_case *c, const struct panel *panel)
{
    return bench_spread(panel->low_is_good ? c->client_us : c->qps, c->figures).median;
}

static void add(struct line *line, unsigned in_flight, double figure, bool low_is_good)
{
    unsigned i = 0;
    while (i < line->count && line->in_flight[i] < in_flight) i++;
    if (i < line->count && line->in_flight[i] == in_flight) {
        if (low_is_good ? figure < line->figure[i] : figure > line->figure[i]) line->figure[i] = figure;
        return;
    }
    if (line->count == POINTS_MAX) bench_die("plot: more than %d points on a line", POINTS_MAX);
    memmove(line->in_flight + i + 1, line->in_flight + i, (line->count - i) * sizeof *line->in_flight);
    memmove(line->figure + i + 1, line->figure + i, (line->count - i) * sizeof *line->figure);
    line->in_flight[i] = in_flight;
    line->figure[i] = figure;
    line->count++;
}

static struct line line_of(const struct bench_case *cases, size_t count, const char *server, const char *contender,
                           const struct panel *panel)
{
    struct line line = { .count = 0 };
    for (size_t i = 0; i < count; i++)
        if (cases[i].figures && !strcmp(cases[i].server, server) && !strcmp(cases[i].contender->name, contender))
            add(&line, cases[i].connections * cases[i].in_flight, figure_of(&cases[i], panel), panel->low_is_good);
    return line;
}

static double step_below(double figure)
{
    double ten = pow(10, floor(log10(figure))), digit = figure / ten;
    return ten * (digit >= 5 ? 5 : digit >= 2 ? 2 : 1);
}

static double step_above(double step)
{
    double ten = pow(10, floor(log10(step) + 1e-9));
    return step / ten < 1.5 ? ten * 2 : step / ten < 3 ? ten * 5 : ten * 10;
}

static struct scale scale_of(const struct line *lines)
{
    struct scale s = { INFINITY, 0, 1 };
    for (size_t i = 0; i < LOOKS; i++)
        for (unsigned k = 0; k < lines[i].count; k++) {
            s.least = fmin(s.least, lines[i].figure[k]);
            s.most = fmax(s.most, lines[i].figure[k]);
            if (lines[i].in_flight[k] > s.most_in_flight) s.most_in_flight = lines[i].in_flight[k];
        }
    s.least = step_below(s.least);
    s.most = step_above(step_below(s.most));
    return s;
}

static double place_x(const struct scale *s, double in_flight)
{
    return s->most_in_flight > 1 ? PANEL_W * log2(in_flight) / log2(s->most_in_flight) : 0;
}

static double place_y(const struct scale *s, double figure)
{
    return PANEL_H * (1 - log(figure / s->least) / log(s->most / s->least));
}

static void write_number(FILE *file, double n)
{
    if (n >= 1e6)
        fprintf(file, "%gM", n / 1e6);
    else if (n >= 1e3)
        fprintf(file, "%gk", n / 1e3);
    else
        fprintf(file, "%g", n);
}

static void write_axes(FILE *file, const struct scale *s, const struct panel *panel, const char *server)
{
    fprintf(file, "<text y=\"-26\" class=\"title\">%s, %s server</text><text y=\"-10\" class=\"unit\">%s%s</text>\n",
            panel->title, server, panel->unit, panel->low_is_good ? ", less is better" : "");
    for (double at = s->least; at <= s->most * 1.001; at = step_above(at)) {
        double y = place_y(s, at);
        fprintf(file,
                "<line x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" class=\"grid\"/><text x=\"-8\" y=\"%.1f\" class=\"tick end\">",
                PANEL_W, y, y, y + 4);
        write_number(file, at);
        fprintf(file, "</text>\n");
    }
    for (unsigned n = 1; n <= s->most_in_flight; n *= 4)
        fprintf(file, "<text x=\"%.1f\" y=\"%d\" class=\"tick middle\">%u</text>\n", place_x(s, n), PANEL_H + 18, n);
    fprintf(file, "<text x=\"%d\" y=\"%d\" class=\"unit middle\">queries in flight, on all connections</text>\n", PANEL_W / 2,
            PANEL_H + 38);
}

static void write_line(FILE *file, const struct scale *s, const struct look *look, const struct line *line)
{
    fprintf(file, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2.2\" stroke-dasharray=\"%s\" points=\"",
            look->colour, look->dashes);
    for (unsigned k = 0; k < line->count; k++)
        fprintf(file, "%.1f,%.1f ", place_x(s, line->in_flight[k]), place_y(s, line->figure[k]));
    fprintf(file, "\"/>\n");
    for (unsigned k = 0; k < line->count; k++)
        fprintf(
            file,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.2\" fill=\"%s\"><title>%s, %u in flight: %.4g</title></circle>\n",
            place_x(s, line->in_flight[k]), place_y(s, line->figure[k]), look->colour, look->contender,
            line->in_flight[k], line->figure[k]);
}

/* A name behind the end of its line, as far down as those need that are written already: from the highest on. */
struct name {
    double from_x, to_x, y;
};
enum { LETTER_W = 8, NAME_H = 14, NAME_X = 9 };

static struct name place_name(const struct scale *s, const struct look *look, const struct line *line,
                              const struct name *written, size_t count)
{
    double x = place_x(s, line->in_flight[line->count - 1]) + NAME_X;
    struct name name = { x, x + LETTER_W * (double)strlen(look->contender), place_y(s, line->figure[line->count - 1]) };
    bool moved = true;
    while (moved) { /* down each time, and by more than what counts as apart: ends */
        moved = false;
        for (size_t i = 0; i < count; i++) {
            bool beside = name.to_x < written[i].from_x || name.from_x > written[i].to_x;
            if (beside || fabs(name.y - written[i].y) >= NAME_H - 1) continue;
            name.y = written[i].y + NAME_H;
            moved = true;
        }
    }
    return name;
}

/* The line whose end stands highest of those that have no name yet. */
static size_t next_line(const struct line *lines, const bool *named, const struct scale *s)
{
    size_t best = LOOKS;
    double least = INFINITY;
    for (size_t i = 0; i < LOOKS; i++) {
        if (named[i] || !lines[i].count) continue;
        double y = place_y(s, lines[i].figure[lines[i].count - 1]);
        if (y < least) least = y, best = i;
    }
    return best;
}

/* Names stand above all lines. */
static void write_panel(FILE *file, const struct bench_case *cases, size_t count, const char *server,
                        const struct panel *panel)
{
    struct line lines[LOOKS];
    bool named[LOOKS] = { false };
    struct name names[LOOKS];
    size_t written = 0;
    for (size_t i = 0; i < LOOKS; i++) lines[i] = line_of(cases, count, server, looks[i].contender, panel);
    struct scale s = scale_of(lines);
    write_axes(file, &s, panel, server);
    for (size_t i = 0; i < LOOKS; i++)
        if (lines[i].count) write_line(file, &s, &looks[i], &lines[i]);
    for (size_t i; (i = next_line(lines, named, &s)) < LOOKS; named[i] = true, written++) {
        names[written] = place_name(&s, &looks[i], &lines[i], names, written);
        fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" class=\"name\" fill=\"%s\">%s</text>\n", names[written].from_x,
                names[written].y + 4, looks[i].colour, looks[i].contender);
    }
}

static bool any(const struct bench_case *cases, size_t count, const char *server)
{
    for (size_t i = 0; i < count; i++)
        if (cases[i].figures && !strcmp(cases[i].server, server)) return true;
    return false;
}

static bool any_batched(const struct bench_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cases[i].figures && cases[i].peer.batched) return true;
    return false;
}

int bench_write_plot(const struct bench_case *cases, size_t count, const char *transport, const char *path)
{
    static const char *const servers[] = { "real", "null" };
    int rows = any(cases, count, "real") + any(cases, count, "null"), row = 0;
    FILE *file = fopen(path, "w");
    if (!file) return -errno;
    int width = LEFT + PANELS * PANEL_W + PANELS * GAP_X, height = TOP + rows * (PANEL_H + GAP_Y) - 20;
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\">\n"
            "<style>.title{font-size:16px;font-weight:600;fill:#111827}.unit{font-size:12px;fill:#4b5563}"
            ".tick{font-size:11px;fill:#4b5563}"
            ".name{font-size:12px;font-weight:600;paint-order:stroke;stroke:#fff;stroke-width:4px}.grid{stroke:#e5e7eb}"
            ".end{text-anchor:end}.middle{text-anchor:middle}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            width, height);
    for (size_t i = 0; i < 2; i++) {
        if (!any(cases, count, servers[i])) continue;
        for (int k = 0; k < PANELS; k++) {
            fprintf(file, "<g transform=\"translate(%d %d)\">\n", LEFT + k * (PANEL_W + GAP_X),
                    TOP + row * (PANEL_H + GAP_Y));
            write_panel(file, cases, count, servers[i], &panels[k]);
            fprintf(file, "</g>\n");
        }
        row++;
    }
    fprintf(file,
            "<text x=\"%d\" y=\"%d\" class=\"unit\">prepared " BENCH_SQL
            ", binary result, a Sync after every query%s, %s on one machine; "
            "medians; of shapes with as many in flight the best</text>\n</svg>\n",
            LEFT, height - 14, any_batched(cases, count) ? " (pgbench: one behind several)" : "",
            strcmp(transport, "tcp") ? "Unix socket" : "TCP");
    bool failed = ferror(file);
    return fclose(file) || failed ? -EIO : 0;
}
