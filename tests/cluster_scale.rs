//! What each further process of a cluster brings: the same areas, as busy as they can be, served by one, two and four members.
//! On one machine the processors are shared, so what is told beside the throughput is the processor time of an operation: what a
//! machine of its own would bring.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

mod harness;

use harness::cluster::{Member, NatsServers, site};
use harness::traders::{Place, Traders};
use harness::{sized, soak_row, wait_for};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const AREAS: [&str; 4] = ["one", "two", "three", "four"];
const DEVICES: usize = 240;
const TRADERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// What so many processes came to.
struct Scaled {
    processes: usize,
    operations_per_s: f64,
    /// Processor time of the members, of an operation, ms.
    cpu_ms: f64,
    refused: u64,
    complaints: Vec<String>,
}

/// Processor time of a process so far, s: fields 14 and 15 of its `stat`, in hundredths.
fn cpu_s(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    [11, 12].iter().map(|at| fields[*at].parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// The page of each area, when the areas are shared evenly.
fn pages(members: &[Member]) -> Option<Vec<SocketAddr>> {
    let shares = members.iter().map(|member| AREAS.iter().filter(|area| member.page(area).is_some()).count());
    let even = shares.collect::<Vec<_>>().iter().all(|share| *share == AREAS.len() / members.len());
    let page = |area: &&str| members.iter().find_map(|member| member.page(area));
    AREAS.iter().map(page).collect::<Option<Vec<_>>>().filter(|_| even)
}

fn scaled(directory: &Path, nats: &NatsServers, processes: usize, seconds: u64) -> Scaled {
    let start = |nth: usize| {
        let name = format!("m{processes}-{nth}");
        // Another number of processes is another cluster: its areas have names of their own nowhere else.
        let sites = AREAS.iter().map(|area| site(&directory.join(&name), area, DEVICES)).collect();
        let mut member = Member::new(&name, sites, &nats.urls);
        member.start();
        member
    };
    let mut members: Vec<Member> = (0..processes).map(start).collect();
    let pages = wait_for("the areas to be shared", PATIENCE, || pages(&members));
    let devices: Vec<Place> =
        (1..=DEVICES as u64).map(|device| Place { device, prosumer: device, usage_point: 31 }).collect();
    let diaries = directory.join(format!("diaries-{processes}"));
    let areas = pages.iter().enumerate().map(|(nth, page)| {
        let diary = diaries.join(nth.to_string());
        std::fs::create_dir_all(&diary).unwrap();
        Traders::start(*page, 1, &devices, TRADERS, &diary)
    });
    let areas: Vec<Traders> = areas.collect();
    let done = || areas.iter().map(|area| area.traded.operations.load(Ordering::Relaxed)).sum::<u64>();
    let cpu = |members: &[Member]| members.iter().map(|member| cpu_s(member.id())).sum::<f64>();
    // Everything is warm after the first operations.
    wait_for("first operations", PATIENCE, || (done() > 100).then_some(()));
    let (begun, before, cpu_before) = (Instant::now(), done(), cpu(&members));
    std::thread::sleep(Duration::from_secs(seconds));
    let (operations, cpu_spent) = (done() - before, cpu(&members) - cpu_before);
    let operations_per_s = operations as f64 / begun.elapsed().as_secs_f64();
    let (mut refused, mut complaints) = (0, Vec::new());
    for area in areas {
        let traded = area.stop();
        refused += traded.refused.lock().unwrap().values().sum::<u64>();
        complaints.append(&mut traded.complaints.lock().unwrap());
    }
    members.iter_mut().for_each(Member::stop);
    let cpu_ms = cpu_spent * 1e3 / operations.max(1) as f64;
    Scaled { processes, operations_per_s, cpu_ms, refused, complaints }
}

#[test]
#[ignore = "minutes, and a quiet machine; `make soak` runs it"]
fn each_further_process_is_told_by_what_it_brings() {
    let seconds = sized("SOAK_SCALE_SECONDS", 60);
    let all: Vec<Scaled> = [1, 2, 4]
        .into_iter()
        .filter_map(|processes| {
            // A cluster of its own each time: nothing of the one before lies in it.
            let directory = tempfile::tempdir().unwrap();
            let nats = NatsServers::start(directory.path())?;
            Some(scaled(directory.path(), &nats, processes, seconds))
        })
        .collect();
    let Some(one) = all.first() else {
        return soak_row("1, 2, 4 processes", "what each brings", "no nats-server here", false);
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for scaled in &all {
        let (more, cpu) = (scaled.operations_per_s / one.operations_per_s, one.cpu_ms / scaled.cpu_ms);
        let reached = format!(
            "{:.0} operations/s ({more:.2} times one process, efficiency {:.0} %), {:.2} ms of processor time each (one process: {cpu:.2} times that), {} refused",
            scaled.operations_per_s,
            100.0 * more / scaled.processes as f64,
            scaled.cpu_ms,
            scaled.refused,
        );
        let what = format!("{} process(es), {} areas", scaled.processes, AREAS.len());
        let asked = format!("stated honestly, {cores} cores with 3 NATS servers and the clients");
        soak_row(&what, &asked, &reached, scaled.complaints.is_empty());
        assert_eq!(scaled.complaints, Vec::<String>::new());
        assert!(scaled.operations_per_s > 0.0);
    }
}
