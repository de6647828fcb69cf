//! `gridflex serve` and `gridflex check`: the live system of a site of one's own.

use crate::Failure;
use crate::answer::say;
use crate::stop::asked_to_stop;
use ::site::check::Summary;
use ::site::{Problem, Running, Site, SiteError, StationError};
use clap::Args;
use cluster::Servers;
use connectors::mqtt::DoorError;
#[cfg(feature = "opcua")]
use connectors::opcua::server::ServerError;
use dashboards_server::{SET_UP_WITHIN, ServeError};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SERVE_EXAMPLES: &str = "\
Examples:
  gridflex serve docs/example-site/site.toml     a small feeder, on the loopback address, until Ctrl-C
  gridflex check site.toml && gridflex serve site.toml
  gridflex serve new.toml                        with an accounts file that is not there yet: prints a token for the first administrator
  gridflex serve site.toml --clock-is-right      the site was off for more than a week
  mosquitto_pub -i substation -u substation -P substation -q 1 -t gridflex/riverside/telemetry/bus.3.u.a -m '{\"value\":231.2,\"unit\":\"V\"}'
  gridflex serve north.toml south.toml --member a --cluster nats://10.0.0.1:4222,nats://10.0.0.2:4222,nats://10.0.0.3:4222
                                                 one of several processes that share these sites: docs/cluster.md

What can stand in SITE.toml: docs/site.md. With OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 in the environment
spans go to that collector: docs/operating.md.";

const CHECK_EXAMPLES: &str = "\
Examples:
  gridflex check docs/example-site/site.toml     every problem as file:line: what; exit code 2 when there is one
  gridflex check site.toml --json                one JSON document, for editors and pipelines
  gridflex check acquire.toml                    what `gridflex acquire` would read: settings, keys and mapping";

/// How long the parts of a site may take to stop. What was acknowledged is on the disk already.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// Arguments of `gridflex serve`.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub struct ServeArguments {
    /// The site's file; what it leaves out has a safe default. Several only with --cluster
    #[arg(value_name = "SITE.toml", required = true)]
    sites: Vec<PathBuf>,
    /// The machine's clock is right although it is eight days ahead of the newest record, or a day behind it: the site was off, or its clock was wrong
    #[arg(long)]
    clock_is_right: bool,
    /// NATS servers of a cluster whose members share the sites: each site is served by one of them and copied by the others
    #[arg(long, value_name = "URL,URL…", requires = "member")]
    cluster: Option<Servers>,
    /// Name of this process in the cluster, unlike that of all others
    #[arg(long, value_name = "NAME", requires = "cluster", value_parser = member_name)]
    member: Option<String>,
    /// How many NATS servers keep the journal; fewer than three only to try things out
    #[arg(long, value_name = "COUNT", default_value_t = 3, requires = "cluster", value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
}

fn member_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !text.is_empty() && text.len() <= 60 && text.chars().all(fits) {
        true => Ok(text.to_owned()),
        false => Err("a name is 1 to 60 letters, digits, '-' and '_'".into()),
    }
}

/// Arguments of `gridflex check`.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct CheckArguments {
    /// The site's file, or that of `gridflex acquire`
    #[arg(value_name = "SITE.toml")]
    site: PathBuf,
    /// Print one JSON document to stdout
    #[arg(long)]
    json: bool,
}

/// What `check --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    problems: &'a [Problem],
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<&'a Summary>,
}

/// Runs `gridflex check`.
pub fn check(arguments: &CheckArguments) -> Result<(), Failure> {
    if crate::acquire::is_of_acquisition(&arguments.site) {
        return crate::acquire::check_settings(&arguments.site, arguments.json);
    }
    let checked = ::site::check(&arguments.site);
    if arguments.json {
        let (problems, site) = match &checked {
            Ok(site) => (&[][..], Some(&site.summary)),
            Err(problems) => (problems.as_slice(), None),
        };
        let report = Report { ok: problems.is_empty(), problems, site };
        say(serde_json::to_string_pretty(&report).map_err(|error| Failure::Run(error.into()))?)?;
    }
    match checked {
        Ok(_) if arguments.json => Ok(()),
        Ok(site) => say(format!("{}: good\n{}", arguments.site.display(), site.summary)),
        Err(problems) => Err(refused(&arguments.site, &problems)),
    }
}

/// Names every problem, and ends with one sentence.
fn refused(site: &Path, problems: &[Problem]) -> Failure {
    for problem in problems {
        eprintln!("{problem}");
    }
    let count = match problems.len() {
        1 => "one problem".to_owned(),
        count => format!("{count} problems"),
    };
    Failure::Input(anyhow::anyhow!("{}: {count}, named above", site.display()))
}

/// Runs `gridflex serve`.
pub fn serve(arguments: &ServeArguments) -> Result<(), Failure> {
    let checked = |path: &PathBuf| match ::site::check(path) {
        Ok(site) => Ok((path.clone(), Site { clock_is_right: arguments.clock_is_right, ..site })),
        Err(problems) => Err(refused(path, &problems)),
    };
    let sites: Result<Vec<_>, _> = arguments.sites.iter().map(checked).collect();
    let mut sites = sites?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::Run(error.into()))?;
    if let (Some(servers), Some(member)) = (arguments.cluster.clone(), arguments.member.clone()) {
        // Which member would show the token, and to whom, is not known.
        for (_, site) in &mut sites {
            site.listeners.accounts.iter_mut().for_each(|accounts| accounts.may_set_up = false);
        }
        let options = cluster::Options {
            servers,
            member,
            replicas: arguments.replicas.into(),
            clock_is_right: arguments.clock_is_right,
        };
        let outcome = runtime.block_on(crate::cluster::serve(options, sites));
        runtime.shutdown_timeout(STOPPED_WITHIN);
        return outcome;
    }
    let outcome = match (sites.pop(), sites.is_empty()) {
        (Some((_, site)), true) => runtime.block_on(run(site)),
        _ => Err(Failure::Input(anyhow::anyhow!("several sites in one process need --cluster"))),
    };
    runtime.shutdown_timeout(STOPPED_WITHIN);
    outcome
}

async fn run(site: Site) -> Result<(), Failure> {
    let (name, data) = (site.summary.name.clone(), site.summary.data.clone());
    let scheme = if site.listeners.door.tls.is_some() { "mqtts" } else { "mqtt" };
    let page = if site.listeners.page.tls.is_some() { "https" } else { "http" };
    let mut running = Running::start(site).await.map_err(failure)?;
    say(format!("gridflex serve: {name}"))?;
    say(format!("  page    {page}://{}", running.page()))?;
    say(format!("  broker  {scheme}://{}", running.door()))?;
    if let Some(opcua) = running.opcua() {
        say(format!("  opcua   opc.tcp://{opcua}"))?;
    }
    say(format!("  journal {data}{}", if running.resumed() { " (taken up)" } else { "" }))?;
    if let Some(token) = running.take_set_up_token() {
        say(set_up(&token, &format!("{page}://{}", running.page())))?;
    }
    let outcome = tokio::select! {
        error = running.failed() => Err(failure(error)),
        stopped = asked_to_stop() => stopped.map_err(|error| Failure::Run(error.into())),
    };
    // What hangs is left behind: the process ends all the same.
    if tokio::time::timeout(STOPPED_WITHIN, running.stop()).await.is_err() {
        tracing::warn!("something does not stop and is left behind");
    }
    outcome
}

/// What whoever starts a site reads that nobody has an account of.
fn set_up(token: &str, page: &str) -> String {
    let minutes = SET_UP_WITHIN.as_secs() / 60;
    format!(
        "\nNobody has an account yet. Make the first administrator within {minutes} minutes, with this token, which is good once:\n\n  \
         curl {page}/api/v1/setup -H 'content-type: application/json' \\\n    \
         -d '{{\"token\":\"{token}\",\"name\":\"NAME\",\"password\":\"12 CHARACTERS OR MORE\"}}'\n"
    )
}

/// Sorts an error by exit code, and says which key of the site's file is to be changed.
fn failure(error: SiteError) -> Failure {
    match error {
        SiteError::GivenUp(reason) => Failure::GivenUp(reason),
        SiteError::Station(StationError::Serve(ServeError::PortInUse { port })) => Failure::Input(
            anyhow::anyhow!("port {port} is in use; choose another one for http.listen in the site's file"),
        ),
        error @ SiteError::Station(StationError::Mqtt(DoorError::Listen { .. })) => {
            Failure::Input(anyhow::anyhow!("{error}; choose another port for mqtt.listen in the site's file"))
        }
        #[cfg(feature = "opcua")]
        error @ SiteError::Station(StationError::OpcUa(ServerError::Listen { .. })) => Failure::Input(
            anyhow::anyhow!("{error}; choose another port for opcua_server.listen in the site's file"),
        ),
        error if error.is_input() => Failure::Input(error.into()),
        error => Failure::Run(error.into()),
    }
}
