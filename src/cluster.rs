//! `gridflex serve --cluster`: one of several processes that share sites; `gridflex members`: who of them serves what.

use crate::Failure;
use crate::answer::say;
use crate::stop::asked_to_stop;
use ::cluster::{Event, Member, Members, Options, Servers};
use ::site::Site;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  gridflex members nats://10.0.0.1:4222,nats://10.0.0.2:4222,nats://10.0.0.3:4222
  gridflex members nats://127.0.0.1:4222 --json  one JSON document; exit code 1 when an area is served by nobody";

/// Arguments of `gridflex members`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MembersArguments {
    /// NATS servers of the cluster
    #[arg(value_name = "URL,URL…")]
    servers: Servers,
    /// Print one JSON document to stdout
    #[arg(long)]
    json: bool,
}

/// What `members --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    members: &'a Members,
    unserved: &'a BTreeSet<&'a String>,
}

/// Runs `gridflex members`.
pub fn members(arguments: &MembersArguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::Run(error.into()))?;
    let members = runtime.block_on(::cluster::members(&arguments.servers));
    let members = members.map_err(|error| Failure::Run(error.into()))?;
    let mut unserved: BTreeSet<_> = members.values().flat_map(|member| &member.may).collect();
    members.values().flat_map(|member| &member.serves).for_each(|area| _ = unserved.remove(area));
    if arguments.json {
        let report = Report { members: &members, unserved: &unserved };
        say(serde_json::to_string_pretty(&report).map_err(|error| Failure::Run(error.into()))?)?;
    } else {
        for (name, member) in &members {
            let copies = member.may.iter().filter(|area| !member.serves.contains(area));
            say(format!("{name}: serves {}; copies {}", listed(&member.serves), listed(copies)))?;
        }
    }
    match unserved.is_empty() && !members.is_empty() {
        true => Ok(()),
        false if members.is_empty() => Err(Failure::Run(anyhow::anyhow!("no member of the cluster lives"))),
        false => Err(Failure::Run(anyhow::anyhow!("served by nobody: {}", listed(unserved)))),
    }
}

fn listed<'a>(areas: impl IntoIterator<Item = &'a String>) -> String {
    let areas: Vec<&str> = areas.into_iter().map(String::as_str).collect();
    if areas.is_empty() { "nothing".to_owned() } else { areas.join(", ") }
}

/// Serves until asked to stop.
pub async fn serve(options: Options, sites: Vec<(PathBuf, Site)>) -> Result<(), Failure> {
    let mut areas = BTreeSet::new();
    for (path, site) in &sites {
        let area = site.foundation.name.to_string();
        if !areas.insert(area.clone()) {
            return Err(Failure::Input(anyhow::anyhow!(
                "{}: a site named {area} is given twice",
                path.display()
            )));
        }
    }
    let name = options.member.clone();
    let (mut member, mut events) =
        Member::start(options, &sites).await.map_err(|error| Failure::Run(error.into()))?;
    say(format!("gridflex serve: member {name}, {} sites", sites.len()))?;
    let asked = asked_to_stop();
    tokio::pin!(asked);
    let outcome = loop {
        tokio::select! {
            Some(event) = events.recv() => say(words(&event))?,
            error = member.failed() => break Err(Failure::Run(error.into())),
            stopped = &mut asked => break stopped.map_err(|error| Failure::Run(error.into())),
        }
    };
    member.stop().await;
    outcome
}

fn words(event: &Event) -> String {
    match event {
        Event::Following { area } => format!("  {area}: copied from the cluster"),
        Event::Serving { area, page, door, resumed } => {
            let journal = if *resumed { ", journal taken up" } else { "" };
            format!("  {area}: served here, page {page}, broker {door}{journal}")
        }
        Event::HandedOn { area } => format!("  {area}: handed on to a member that serves fewer"),
        Event::Lost { area, reason } => format!("  {area}: not served here: {reason}"),
    }
}
