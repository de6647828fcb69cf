//! Many who come and say nothing, or ask and fetch nothing, while an honest client wants its answer.

#![allow(clippy::disallowed_methods)] // wall time is measured

use super::{Running, no_page, start, start_with};
use dashboards_server::Limits;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// One crowd at a time: each takes the machine's processors and sockets.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How many sockets this process may have; a machine that allows few is asked for fewer peers.
fn peers(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(1024);
    wanted.min(soft / 2)
}

/// Asks and is answered.
async fn honest(running: &Running) {
    let began = Instant::now();
    let answer = running.get("/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(2), "after {:?}", began.elapsed());
}

#[tokio::test]
async fn five_thousand_silent_peers_keep_nobody_waiting() {
    let _turn = TURN.lock().await;
    let running = start().await;
    let mut silent = Vec::new();
    for number in 0..peers(5_000) {
        silent.push(running.connect().await);
        if number % 1_000 == 0 {
            honest(&running).await;
        }
    }
    for _ in 0..20 {
        honest(&running).await;
    }
    let figures = running.get("/metrics").await;
    assert!(figures.contains("http_ended_connections_total{reason=\"evicted\"}"), "{figures}");
}

/// Asks again and again for something long, with as little room for answers as there can be, and fetches nothing.
async fn greedy(running: &Running) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut socket = socket.connect(running.server.address()).await.unwrap();
    let ask = "GET /api/v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    // As much as is taken at once.
    let _ = tokio::time::timeout(Duration::from_millis(20), socket.write_all(ask.as_bytes())).await;
    socket
}

#[tokio::test]
async fn peers_that_ask_and_fetch_nothing_keep_nobody_waiting_and_are_ended() {
    let _turn = TURN.lock().await;
    let limits = Limits { write_stall: Duration::from_secs(2), ..Limits::default() };
    let running = start_with(limits, no_page).await;
    let mut greedy_ones = Vec::new();
    for _ in 0..peers(300) {
        greedy_ones.push(greedy(&running).await);
    }
    honest(&running).await;
    let ended = async |reason: &str| -> f64 {
        let figures = running.get("/metrics").await;
        let line = format!("http_ended_connections_total{{reason=\"{reason}\"}} ");
        let count = figures.lines().find_map(|found| found.strip_prefix(&line)).unwrap();
        count.trim().parse().unwrap()
    };
    let until = Instant::now() + Duration::from_secs(20);
    while ended("stalled").await < greedy_ones.len() as f64 * 0.9 {
        assert!(Instant::now() < until, "only {} were ended", ended("stalled").await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    honest(&running).await;
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_another_is_answered_all_the_same() {
    let _turn = TURN.lock().await;
    let limits = Limits { connections_each_max: 8, ..Limits::default() };
    let running = start_with(limits, no_page).await;
    let mut held = Vec::new();
    let mut served = 0;
    for _ in 0..20 {
        let (mut socket, mut heard) = (running.connect().await, String::new());
        socket.write_all(b"GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let read = super::read_until_or_end(&mut socket, &mut heard, "event: beat").await;
        served += usize::from(read);
        held.push(socket);
    }
    assert_eq!(served, 8, "the others found no room");
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let (mut socket, mut heard) = (socket.connect(running.server.address()).await.unwrap(), String::new());
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(super::read_until_or_end(&mut socket, &mut heard, "HTTP/1.1 200").await, "{heard}");
}
