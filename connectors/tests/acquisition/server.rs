//! A PostgreSQL server of our own: Debian's, in a folder of its own, as a child process that can be killed and started again.
#![allow(dead_code)] // each story uses its part
#![allow(clippy::disallowed_methods)] // the patience of a test with a foreign program is wall time

use super::free_port;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Dropping it ends it.
pub struct Server {
    directory: tempfile::TempDir,
    programs: PathBuf,
    /// Who it runs as, when we are root: it refuses to be root.
    owner: Option<(u32, u32)>,
    pub port: u16,
    tls: bool,
    child: Option<Child>,
}

impl Server {
    /// Makes one; with certificate and key in PEM it speaks TLS. Nothing, loudly, when PostgreSQL is not installed.
    pub fn start(tls: Option<(&Path, &Path)>) -> Option<Self> {
        let Some(programs) = programs() else {
            println!("SKIPPED: PostgreSQL is not installed; scripts/setup.sh test installs it");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let owner = (whoami("-u") == 0).then(|| (of_postgres("-u"), of_postgres("-g")));
        if let Some((user, group)) = owner {
            chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let port = free_port();
        let mut server = Self { directory, programs, owner, port, tls: tls.is_some(), child: None };
        let data = server.at("data");
        let mut initdb = server.program("initdb");
        initdb.args(["--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256"]).arg("--pgdata").arg(&data);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        for (from, name) in
            tls.iter().flat_map(|(certificate, key)| [(certificate, "tls.pem"), (key, "tls.key")])
        {
            let to = server.at(name);
            std::fs::copy(from, &to).unwrap();
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
            if let Some((user, group)) = owner {
                chown(&to, Some(user), Some(group)).unwrap();
            }
        }
        server.run();
        Some(server)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    /// Starts it and waits until it answers.
    pub fn run(&mut self) {
        let mut postgres = self.program("postgres");
        postgres.arg("-D").arg(self.at("data")).arg("-k").arg(self.directory.path());
        postgres.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        if self.tls {
            postgres
                .args(["-c", "ssl=on", "-c"])
                .arg(format!("ssl_cert_file={}", self.at("tls.pem").display()));
            postgres.arg("-c").arg(format!("ssl_key_file={}", self.at("tls.key").display()));
        }
        self.child = Some(postgres.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let begin = Instant::now();
        while self.try_sql("SELECT 1").is_err() {
            assert!(begin.elapsed() < PATIENCE, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it at once, as a crash does: no connection is told, and it recovers at its next start.
    pub fn crash(&mut self) {
        if let Some(mut child) = self.child.take() {
            Command::new("kill").args(["-QUIT", &child.id().to_string()]).status().unwrap();
            child.wait().unwrap();
        }
    }

    /// Runs statements as its administrator.
    pub fn sql(&self, statements: &str) -> String {
        self.try_sql(statements).unwrap_or_else(|said| panic!("{statements:.200}: {said}"))
    }

    fn try_sql(&self, statements: &str) -> Result<String, String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-h", self.directory.path().to_str().unwrap(), "-p", &self.port.to_string()]);
        psql.args([
            "-U",
            "postgres",
            "-d",
            "postgres",
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-f",
            "-",
        ]);
        let mut child =
            psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A server that is away closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(statements.as_bytes());
        let output = child.wait_with_output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

/// The folder of the newest server's programs; Debian has it beside the path.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin")))
        })
        .filter(|(_, path)| ["initdb", "postgres", "psql"].iter().all(|name| path.join(name).exists()))
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path)
}

fn whoami(what: &str) -> u32 {
    number(Command::new("id").arg(what))
}

fn of_postgres(what: &str) -> u32 {
    number(Command::new("id").args([what, "postgres"]))
}

fn number(command: &mut Command) -> u32 {
    String::from_utf8(command.output().unwrap().stdout).unwrap().trim().parse().unwrap()
}
