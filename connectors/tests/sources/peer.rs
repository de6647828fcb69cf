//! Python programs as the other side, in the environment that scripts/setup.sh makes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A server driven through its standard input.
pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// The Python that has this module; without one the story is skipped, loudly.
pub fn python(module: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/venv/bin/python");
    let found = [own, "python3".into()].into_iter().find(|python| {
        let has = Command::new(python).args(["-c", &format!("import {module}")]).output();
        has.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        println!("SKIPPED: {module} is not installed; scripts/setup.sh test installs it");
    }
    found
}

impl Peer {
    /// Starts a script of this directory and waits until it listens.
    pub fn start(python: &Path, script: &str, port: u16) -> Self {
        Self::start_with(python, script, port, &[])
    }

    /// The same with more arguments.
    pub fn start_with(python: &Path, script: &str, port: u16, arguments: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sources").join(script);
        let (peer, said) = Self::run(python, &script, port, arguments);
        assert_eq!(said, "listening", "{}", script.display());
        peer
    }

    /// Starts a script; the peer and the first line that it says.
    pub fn run(python: &Path, script: &Path, port: u16, arguments: &[&str]) -> (Self, String) {
        let mut child = Command::new(python)
            .args([script.as_os_str(), port.to_string().as_ref()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut peer = Self { child, input, output };
        let said = peer.line();
        (peer, said)
    }

    /// Asks it something; what it answers, a line.
    pub fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        self.input.flush().unwrap();
        self.line()
    }

    /// Tells it something and waits until it is done.
    pub fn tell(&mut self, line: &str) {
        assert_eq!(self.ask(line), "done", "{line}");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Ends it without warning.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
