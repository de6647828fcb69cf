//! Several NATS servers and several members, each a process, on the loopback address.

use super::{free_port, gridflex, text, wait_for};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// NATS servers that find each other. Dropping them kills them.
pub struct NatsServers {
    pub children: Vec<Child>,
    configs: Vec<PathBuf>,
    pub urls: String,
}

impl NatsServers {
    /// Starts three; `None` and a loud word when there is no NATS server here.
    pub fn start(directory: &Path) -> Option<Self> {
        #[allow(clippy::print_stderr)] // what a test skips it says
        if Command::new("nats-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("SKIPPED: nats-server is not installed (Debian: apt-get install nats-server)");
            return None;
        }
        let (ports, routes): (Vec<u16>, Vec<u16>) = (0..3).map(|_| (free_port(), free_port())).unzip();
        let others: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let mut servers = Self {
            children: Vec::new(),
            configs: Vec::new(),
            urls: ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect::<Vec<_>>().join(","),
        };
        for (nth, (port, route)) in ports.iter().zip(&routes).enumerate() {
            let config = directory.join(format!("nats-{nth}.conf"));
            let words = format!(
                "server_name: n{nth}\nlisten: 127.0.0.1:{port}\njetstream {{ store_dir: \"{}\" }}\n\
                 cluster {{ name: test, listen: 127.0.0.1:{route}, no_advertise: true, routes: [{}] }}\n",
                text(&directory.join(format!("nats-{nth}"))),
                others.join(", "),
            );
            std::fs::write(&config, words).unwrap();
            servers.configs.push(config.clone());
            servers.children.push(Self::server(&config));
        }
        for (nth, port) in ports.into_iter().enumerate() {
            let listens = || TcpStream::connect(("127.0.0.1", port)).ok();
            wait_for("a NATS server to listen", Duration::from_secs(30), listens);
            let ended = servers.children[nth].try_wait().unwrap();
            let log = || std::fs::read_to_string(servers.configs[nth].with_extension("log"));
            assert!(ended.is_none(), "a NATS server has ended, {ended:?}: {:?}", log());
        }
        Some(servers)
    }

    fn server(config: &Path) -> Child {
        let log = config.with_extension("log");
        let mut command = Command::new("nats-server");
        command.args(["-c", text(config), "-l", text(&log)]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Ends one without warning.
    pub fn kill(&mut self, nth: usize) {
        self.children[nth].kill().unwrap();
        self.children[nth].wait().unwrap();
    }

    /// Starts it again.
    pub fn restart(&mut self, nth: usize) {
        self.children[nth] = Self::server(&self.configs[nth]);
    }
}

impl Drop for NatsServers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A member of the cluster on a machine of its own, as far as it knows: its site files and its data are in one folder.
pub struct Member {
    pub name: String,
    pub sites: Vec<PathBuf>,
    urls: String,
    child: Option<Child>,
    /// What it said, and when.
    pub said: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Member {
    /// Of these site files, not started.
    pub fn new(name: &str, sites: Vec<PathBuf>, urls: &str) -> Self {
        Self { name: name.into(), sites, urls: urls.into(), child: None, said: Arc::default() }
    }

    /// Starts it.
    pub fn start(&mut self) {
        let sites = self.sites.iter().map(|site| text(site));
        let arguments = ["serve", "--member", &self.name, "--cluster", &self.urls];
        let mut command = gridflex(arguments.into_iter().chain(sites));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        for stream in [Box::new(out) as Box<dyn std::io::Read + Send>, Box::new(err)] {
            let said = self.said.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    said.lock().unwrap().push((Instant::now(), line));
                }
            });
        }
        self.child = Some(child);
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.id().to_string()]).status().unwrap().success());
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.said.lock().unwrap().clear();
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let mut child = self.child.take().unwrap();
        let status = wait_for("a member to end", Duration::from_secs(30), || child.try_wait().unwrap());
        assert!(status.success(), "{}: {status}, {}", self.name, self.words());
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// The page of an area, if the newest it said of it is that it serves it.
    pub fn page(&self, area: &str) -> Option<SocketAddr> {
        let said = self.said.lock().unwrap();
        let start = format!("{area}: ");
        let newest = said.iter().rev().find_map(|(_, line)| line.trim().strip_prefix(start.as_str()))?;
        let page = newest.strip_prefix("served here, page ")?.split(',').next()?;
        Some(page.parse().unwrap())
    }

    /// Where its MQTT door takes telemetry of an area, if it serves it.
    pub fn door(&self, area: &str) -> Option<SocketAddr> {
        self.page(area)?;
        let said = self.said.lock().unwrap();
        let start = format!("{area}: served here");
        let newest = said.iter().rev().find(|(_, line)| line.trim().starts_with(&start))?;
        Some(newest.1.split("broker ").nth(1)?.split(',').next()?.parse().unwrap())
    }

    /// When it last said something that contains these words.
    pub fn said_at(&self, words: &str) -> Option<Instant> {
        let said = self.said.lock().unwrap();
        said.iter().rev().find_map(|(at, line)| line.contains(words).then_some(*at))
    }

    /// Everything it said.
    pub fn words(&self) -> String {
        self.said.lock().unwrap().iter().map(|(_, line)| format!("{}: {line}\n", self.name)).collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Writes a site with that many devices into a folder of its own; its ports are its own, too.
pub fn site(directory: &Path, area: &str, devices: usize) -> PathBuf {
    std::fs::create_dir_all(directory).unwrap();
    let network = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/example-site/network.json");
    let mut words = format!(
        "name = \"{area}\"\ndata = \"{area}-data\"\nnetwork = \"{}\"\n\
         [http]\nlisten = \"127.0.0.1:{}\"\n[mqtt]\nlisten = \"127.0.0.1:{}\"\n",
        text(&network),
        free_port(),
        free_port()
    );
    for number in 1..=devices {
        words += &format!(
            "[[device]]\nnumber = {number}\nprosumer = {number}\nusage_point = 31\nkind = \"battery\"\np_max_kw = 3\n"
        );
    }
    let file = directory.join(format!("{area}.toml"));
    std::fs::write(&file, words).unwrap();
    file
}
