//! `kill -9` of the demo while somebody deposits values: what was answered is there in the next life, and every value whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

mod harness;

use harness::{Demo, evening, free_port, get, send};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KILLS: u64 = 4;

/// Puts a new number under one of twenty keys, again and again; what was answered.
fn depositor(
    page: SocketAddr,
    ended: Arc<AtomicBool>,
) -> std::thread::JoinHandle<(BTreeMap<String, u64>, u64)> {
    std::thread::spawn(move || {
        let (mut answered, mut number) = (BTreeMap::new(), 0);
        while !ended.load(Ordering::Relaxed) {
            number += 1;
            let key = format!("k{}", number % 20);
            let body = json!({ "values": [{ "key": key, "value": { "number": number } }] });
            match send("PUT", page, "/api/v1/key-values", &body) {
                Ok(answer) if answer.status == 200 => drop(answered.insert(key, number)),
                // It is dead, or not awake yet; what was not answered may be there or not.
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        (answered, number)
    })
}

#[test]
fn what_was_answered_is_there_after_every_kill() {
    let directory = tempfile::tempdir().unwrap();
    let (page, broker) = (free_port(), free_port());
    let start = || Demo::start_by(evening(60, directory.path(), (page, broker)));
    let address = SocketAddr::from(([127, 0, 0, 1], page));
    let (all, mut total) = (Arc::new(Mutex::new(BTreeMap::new())), 0);
    for kill in 0..KILLS {
        let mut demo = start();
        let ended = Arc::new(AtomicBool::new(false));
        let depositing = depositor(address, ended.clone());
        std::thread::sleep(Duration::from_millis(700 + 230 * kill));
        demo.kill();
        ended.store(true, Ordering::Relaxed);
        let (answered, tried) = depositing.join().unwrap();
        assert!(!answered.is_empty(), "nothing was answered of {tried}");
        total += tried;
        all.lock().unwrap().extend(answered.clone());
        let demo = start();
        let query: Vec<String> = answered.keys().map(|key| format!("key={key}")).collect();
        let found = get(demo.page, &format!("/api/v1/key-values?{}", query.join("&"))).unwrap().json();
        assert_eq!(found["missing"], json!([]), "{found}");
        for value in found["values"].as_array().unwrap() {
            let (key, number) = (value["key"].as_str().unwrap(), value["value"]["number"].as_u64().unwrap());
            // The last one that was answered, or one that was on its way when the end came.
            let last = answered[key];
            assert!(
                number == last || (number == last + 20 && number <= tried),
                "{key}: {number}, answered {last}"
            );
        }
    }
    let keys: Vec<Value> = all.lock().unwrap().keys().map(|key| json!(key)).collect();
    eprintln!("{KILLS} kills, {total} puts, {} keys", keys.len());
}
