//! `gridflex serve --cluster`: one of several processes that share sites.

use crate::Failure;
use crate::answer::say;
use crate::stop::asked_to_stop;
use ::cluster::{Event, Member, Options};
use ::site::Site;
use std::collections::BTreeSet;
use std::path::PathBuf;

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
