//! tests/bench/peers: tokio-postgres, a peer of the benchmark. The protocol of its arguments and of its answer is in
//! ../peer.c. One thread; every task keeps one query in flight, and the driver pipelines those of a connection. With a
//! rate every query has a task of its own, on the connection with the fewest in flight.
mod timer;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use timer::Timer;
use tokio_postgres::{Client, Config, NoTls, Statement};

pub fn die(what: &str, error: impl std::fmt::Display) -> ! {
    eprintln!("tokio-postgres: {what}: {error}");
    std::process::exit(1)
}

const SQL: &str = "SELECT number FROM bench_select WHERE id = $1";
const FIRST_ID: i32 = 100_000;
const IDS: i32 = 10_000;
const NUMBER_OVER: i32 = 100_000;

/// The ids, one after the other.
struct Ids(Cell<i32>);

impl Ids {
    fn next(&self) -> i32 {
        let at = self.0.get();
        self.0.set((at + 1) % IDS);
        FIRST_ID + at
    }
}

struct Options(HashMap<String, String>);

impl Options {
    fn read() -> Options {
        let words: Vec<String> = std::env::args().skip(1).collect();
        Options(words.chunks_exact(2).map(|pair| (pair[0].trim_start_matches("--").into(), pair[1].clone())).collect())
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| die("missing option", name))
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_else(|error| die(name, error))
    }

    fn number_or_zero(&self, name: &str) -> u64 {
        self.0.get(name).map_or(0, |_| self.number(name))
    }
}

/// What was answered, and how long those took that were timed and count.
struct Answers {
    ids: Ids,
    count: Cell<u64>,
    waiting: Cell<u64>, // of those that are due at a rate
    began: Instant,
    ended: Instant,
    took_ns: RefCell<Vec<u64>>,
}

impl Answers {
    /// Counts where `at` is while it is measured.
    fn take(&self, at: Instant, took: Duration) {
        if at >= self.began && at < self.ended {
            self.took_ns.borrow_mut().push(took.as_nanos() as u64);
        }
    }

    /// What the line says of them, where it does.
    fn percentiles(&self) -> String {
        let mut took_ns = self.took_ns.borrow_mut();
        if took_ns.is_empty() {
            return String::new();
        }
        took_ns.sort_unstable();
        let us = |share: f64| took_ns[((took_ns.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
        format!("\"p50_us\": {:.1}, \"p99_us\": {:.1}, \"p999_us\": {:.1}, ", us(0.5), us(0.99), us(0.999))
    }
}

struct Sample {
    at: Instant,
    cpu_ns: u64,
    switches: u64,
    answered: u64,
}

fn sample(answered: u64) -> Sample {
    // SAFETY: getrusage fills the whole struct, for which zeros are valid.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let ns = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1_000;
    let cpu_ns = ns(usage.ru_utime) + ns(usage.ru_stime);
    Sample { at: Instant::now(), cpu_ns, switches: usage.ru_nvcsw as u64, answered }
}

/// Peak memory of this program; the one in getrusage counts that of whoever started it as well.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

async fn connect(options: &Options) -> (Client, Statement) {
    let mut config = Config::new();
    config.host(options.text("host")).port(options.number("port") as u16);
    config.user(options.text("user")).dbname(options.text("database"));
    let (client, connection) = config.connect(NoTls).await.unwrap_or_else(|error| die("connect", error));
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            die("connection", error);
        }
    });
    let statement = client.prepare(SQL).await.unwrap_or_else(|error| die("prepare", error));
    (client, statement)
}

async fn ask(client: &Client, statement: &Statement, id: i32) {
    let row = client.query_one(statement, &[&id]).await.unwrap_or_else(|error| die("query", error));
    let value: i32 = row.try_get(0).unwrap_or_else(|error| die("value", error));
    if value != id + NUMBER_OVER {
        die("a wrong answer", value);
    }
}

async fn keep_asking(client: Rc<Client>, statement: Statement, answers: Rc<Answers>, timed: bool) {
    loop {
        let asked = timed.then(Instant::now);
        ask(&client, &statement, answers.ids.next()).await;
        answers.count.set(answers.count.get() + 1);
        if let Some(asked) = asked {
            let now = Instant::now();
            answers.take(now, now - asked);
        }
    }
}

async fn ask_once(client: Rc<Client>, statement: Statement, answers: Rc<Answers>, due: Instant) {
    ask(&client, &statement, answers.ids.next()).await;
    drop(client); // the references to it tell how many are in flight
    answers.take(due, due.elapsed());
    answers.waiting.set(answers.waiting.get() - 1);
}

async fn begin_at(rate: u64, connections: Vec<(Rc<Client>, Statement)>, answers: Rc<Answers>) {
    let mut timer = Timer::new();
    let mut due = Instant::now();
    for begun in 1u64.. {
        due += timer.random_gap(1e9 / rate as f64);
        if due >= answers.ended {
            return;
        }
        timer.wait_until(due).await;
        let least = connections.iter().min_by_key(|(client, _)| Rc::strong_count(client));
        let (client, statement) = least.unwrap_or_else(|| die("connections", "none"));
        answers.waiting.set(answers.waiting.get() + 1);
        tokio::task::spawn_local(ask_once(client.clone(), statement.clone(), answers.clone(), due));
        if begun % 64 == 0 {
            tokio::task::yield_now().await; // also where it is late and does not wait
        }
    }
}

async fn measure(options: Options) {
    let mut connections = Vec::new();
    for _ in 0..options.number("connections") {
        let (client, statement) = connect(&options).await;
        connections.push((Rc::new(client), statement));
    }
    let rate = options.number_or_zero("rate");
    let began = Instant::now() + Duration::from_millis(options.number("warm-ms"));
    let ended = began + Duration::from_millis(options.number("measure-ms"));
    let answers = Rc::new(Answers {
        ids: Ids(Cell::new(0)),
        count: Cell::new(0),
        waiting: Cell::new(0),
        began,
        ended,
        took_ns: RefCell::new(Vec::new()),
    });
    let mut beginner = None;
    if rate > 0 {
        beginner = Some(tokio::task::spawn_local(begin_at(rate, connections, answers.clone())));
    } else {
        let one_in = options.number_or_zero("latencies");
        for i in 0..options.number("in-flight") * connections.len() as u64 {
            let (client, statement) = connections[(i / options.number("in-flight")) as usize].clone();
            let timed = one_in > 0 && i % one_in == 0;
            tokio::task::spawn_local(keep_asking(client, statement, answers.clone(), timed));
        }
    }
    tokio::time::sleep_until(began.into()).await;
    println!("began");
    let began = sample(answers.count.get());
    tokio::time::sleep_until(ended.into()).await;
    let ended = sample(answers.count.get());
    let (mut answered, mut wall) = (ended.answered - began.answered, ended.at - began.at);
    if let Some(beginner) = beginner {
        beginner.await.unwrap_or_else(|error| die("a task", error));
        while answers.waiting.get() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        answered = answers.took_ns.borrow().len() as u64;
        wall = answers.ended - answers.began;
    }
    println!(
        "{{\"answered\": {}, \"wall_ns\": {}, \"cpu_ns\": {}, \"switches\": {}, \"peak_kib\": {}, {}\
         \"version\": \"tokio-postgres {}\"}}",
        answered,
        wall.as_nanos(),
        ended.cpu_ns - began.cpu_ns,
        ended.switches - began.switches,
        peak_kib(),
        answers.percentiles(),
        option_env!("PEER_VERSION").unwrap_or("?")
    );
    std::process::exit(0)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| die("runtime", error));
    tokio::task::LocalSet::new().block_on(&runtime, measure(Options::read()));
}
