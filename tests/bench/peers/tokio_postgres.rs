//! tests/bench/peers: tokio-postgres, a peer of the benchmark. The protocol of its arguments and of its answer is in
//! ../peer.c. One thread; every task keeps one query in flight, and the driver pipelines those of a connection.
use std::cell::Cell;
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

async fn ask(client: Rc<Client>, statement: Statement, answered: Rc<Cell<u64>>) {
    loop {
        let row = client.query_one(&statement, &[]).await.unwrap_or_else(|error| die("query", error));
        let value: i32 = row.try_get(0).unwrap_or_else(|error| die("value", error));
        if value != 42 {
            die("a wrong answer", value);
        }
        answered.set(answered.get() + 1);
    }
}

async fn measure(options: Options) {
    let answered = Rc::new(Cell::new(0));
    let mut connections = Vec::new();
    for _ in 0..options.number("connections") {
        connections.push(connect(&options).await);
    }
    for (client, statement) in connections {
        let client = Rc::new(client);
        for _ in 0..options.number("in-flight") {
            tokio::task::spawn_local(ask(client.clone(), statement.clone(), answered.clone()));
        }
    }
    tokio::time::sleep(Duration::from_millis(options.number("warm-ms"))).await;
    let began = sample(answered.get());
    tokio::time::sleep(Duration::from_millis(options.number("measure-ms"))).await;
    let ended = sample(answered.get());
    println!(
        "{{\"answered\": {}, \"wall_ns\": {}, \"cpu_ns\": {}, \"switches\": {}, \"peak_kib\": {}, \
         \"version\": \"tokio-postgres {}\"}}",
        ended.answered - began.answered,
        (ended.at - began.at).as_nanos(),
        ended.cpu_ns - began.cpu_ns,
        ended.switches - began.switches,
        peak_kib(),
        option_env!("PEER_VERSION").unwrap_or("?")
    );
    std::process::exit(0)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| die("runtime", error));
    tokio::task::LocalSet::new().block_on(&runtime, measure(Options::read()));
}
