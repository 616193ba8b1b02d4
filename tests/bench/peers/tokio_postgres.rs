//! tests/bench/peers: tokio-postgres, a peer of the benchmark. The protocol of its arguments and of its answer is in
//! ../peer.c. One thread; every task keeps one query in flight, and the driver pipelines those of a connection.
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, Config, NoTls, Statement};

fn die(what: &str, error: impl std::fmt::Display) -> ! {
    eprintln!("tokio-postgres: {what}: {error}");
    std::process::exit(1)
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
    let statement = client.prepare("SELECT 42").await.unwrap_or_else(|error| die("prepare", error));
    (client, statement)
}

/// Of so many callers one counts how long its queries take.
const TIMED: u64 = 8;
type Times = Rc<RefCell<Vec<Duration>>>;

fn percentile_us(took: &[Duration], share: f64) -> f64 {
    let at = (took.len().saturating_sub(1) as f64 * share) as usize;
    took.get(at).map_or(0.0, |took| took.as_nanos() as f64 / 1000.0)
}

async fn ask(client: Rc<Client>, statement: Statement, answered: Rc<Cell<u64>>, times: Option<Times>) {
    loop {
        let asked = times.as_ref().map(|_| Instant::now());
        let row = client.query_one(&statement, &[]).await.unwrap_or_else(|error| die("query", error));
        let value: i32 = row.try_get(0).unwrap_or_else(|error| die("value", error));
        if value != 42 {
            die("a wrong answer", value);
        }
        answered.set(answered.get() + 1);
        if let (Some(times), Some(asked)) = (&times, asked) {
            times.borrow_mut().push(asked.elapsed());
        }
    }
}

async fn measure(options: Options) {
    let answered = Rc::new(Cell::new(0));
    let times = Times::default();
    let mut connections = Vec::new();
    for _ in 0..options.number("connections") {
        connections.push(connect(&options).await);
    }
    for (client, statement) in connections {
        let client = Rc::new(client);
        for i in 0..options.number("in-flight") {
            let times = (i % TIMED == 0).then(|| times.clone());
            tokio::task::spawn_local(ask(client.clone(), statement.clone(), answered.clone(), times));
        }
    }
    tokio::time::sleep(Duration::from_millis(options.number("warm-ms"))).await;
    println!("began");
    times.borrow_mut().clear();
    let began = sample(answered.get());
    tokio::time::sleep(Duration::from_millis(options.number("measure-ms"))).await;
    let ended = sample(answered.get());
    let mut took = times.take();
    took.sort();
    println!(
        "{{\"answered\": {}, \"wall_ns\": {}, \"cpu_ns\": {}, \"switches\": {}, \"peak_kib\": {}, \
         \"p50_us\": {:.1}, \"p99_us\": {:.1}, \"version\": \"tokio-postgres {}\"}}",
        ended.answered - began.answered,
        (ended.at - began.at).as_nanos(),
        ended.cpu_ns - began.cpu_ns,
        ended.switches - began.switches,
        peak_kib(),
        percentile_us(&took, 0.5),
        percentile_us(&took, 0.99),
        option_env!("PEER_VERSION").unwrap_or("?")
    );
    std::process::exit(0)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| die("runtime", error));
    tokio::task::LocalSet::new().block_on(&runtime, measure(Options::read()));
}
