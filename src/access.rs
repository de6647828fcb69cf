//! `gridflex access`: accounts of people, tokens of programs, and the log of what they did.

use crate::Failure;
use crate::answer::say;
use access::{Directory, DirectoryError, Role, Scope, SecondFactor, TOKEN_DAYS_MAX, verify_audit};
use actors::runtime::WallClock;
use anyhow::anyhow;
use clap::{Args, Subcommand};
use grid::{Clock, ProsumerId};
use std::io::{BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gridflex access add ada --role operator              asks for a password, or reads it from standard input
  gridflex access add chris --role security-admin
  gridflex access add home3 --role prosumer --prosumer 3
  gridflex access token scraper --role viewer --days 30    prints the token, once
  gridflex access token scraper --role viewer --site riverside   one that is good at that site only
  gridflex access second-factor ada                    shows what ada's app reads, and asks for the code it then shows
  gridflex access second-factor ada --remove           the password alone lets ada in again
  gridflex access list
  gridflex access remove scraper                       a running system lets it in no more, at once
  gridflex access audit evening/audit.jsonl            checks the log of who did what
  gridflex access audit evening/audit.jsonl --knows 4a5e…   and that it still holds what it said then
  gridflex demo --access access.json                   asks who you are

Roles: operator, engineer, market-operator, aggregator, prosumer, viewer, auditor, security-admin. What each may do:
docs/access.md. The file holds hashes, no passwords; it must not be readable by others (mode 600). People who sign in at an
OpenID provider ([oidc] in the site's file) are not in it.";

/// Arguments of `gridflex access`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AccessArguments {
    #[command(subcommand)]
    command: AccessCommand,
}

#[derive(Debug, Args)]
struct Place {
    /// The file of accounts and tokens; made when it is not there
    #[arg(long, value_name = "FILE", default_value = "access.json")]
    file: PathBuf,
}

#[derive(Debug, Args)]
struct Grants {
    /// What it may be asked for; several by repeating it
    #[arg(long = "role", required = true, value_parser = role)]
    roles: Vec<Role>,
    /// Whose things are its own, by number; several by repeating it
    #[arg(long = "prosumer", value_name = "NUMBER")]
    prosumers: Vec<u32>,
}

#[derive(Debug, Subcommand)]
enum AccessCommand {
    /// Add an account of a person
    #[command(after_help = EXAMPLES)]
    Add {
        /// Its name
        name: String,
        #[command(flatten)]
        grants: Grants,
        #[command(flatten)]
        place: Place,
    },
    /// Make a token for a program and print it, once
    #[command(after_help = EXAMPLES)]
    Token {
        /// Its name
        name: String,
        #[command(flatten)]
        grants: Grants,
        /// How long it is valid, days
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=i64::from(TOKEN_DAYS_MAX)))]
        days: u32,
        /// The only site where it is good, by the name in the site's file; the token names it
        #[arg(long, value_name = "NAME")]
        site: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Give a person a second factor: codes of an app (TOTP, RFC 6238), asked for at log-in besides the password
    #[command(name = "second-factor", after_help = EXAMPLES)]
    SecondFactor {
        /// Its name
        name: String,
        /// Take it away instead
        #[arg(long)]
        remove: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Remove an account or a token
    #[command(after_help = EXAMPLES)]
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Show who there is
    #[command(after_help = EXAMPLES)]
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Check the chain of an audit log; prints the newest hash, which is worth keeping elsewhere
    #[command(after_help = EXAMPLES)]
    Audit {
        /// The log, `audit.jsonl` in a data directory
        log: PathBuf,
        /// A hash that was printed earlier and kept elsewhere: the log must still hold it
        #[arg(long, value_name = "HASH")]
        knows: Option<String>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

fn role(name: &str) -> Result<Role, String> {
    let known = || Role::ALL.map(|role| role.to_string()).join(", ");
    Role::named(name).ok_or_else(|| format!("there is no role {name}; there are {}", known()))
}

/// Runs the command.
pub fn run(arguments: &AccessArguments) -> Result<(), Failure> {
    match &arguments.command {
        AccessCommand::Add { name, grants, place } => {
            let password = password(name)?;
            change(place, |directory| {
                directory.add_account(name, &password, grants.roles.clone(), grants.scope())
            })?;
            say(format!("{name} was added to {}", place.file.display()))
        }
        AccessCommand::Token { name, grants, days, site, place } => {
            let now = WallClock.now();
            let token = change(place, |directory| {
                let (roles, scope) = (grants.roles.clone(), grants.scope());
                directory.add_token_of(site.as_deref(), name, roles, scope, *days, now)
            })?;
            eprintln!("valid until {}; it is shown only now:", token.expires_at);
            say(token.secret)
        }
        AccessCommand::SecondFactor { name, remove: true, place } => {
            change(place, |directory| directory.set_second_factor(name, None))?;
            say(format!("{name} logs in with the password alone from now on"))
        }
        AccessCommand::SecondFactor { name, remove: false, place } => second_factor(name, place),
        AccessCommand::Remove { name, place } => {
            change(place, |directory| directory.remove(name))?;
            say(format!("{name} was removed from {}", place.file.display()))
        }
        AccessCommand::List { json, place } => list(&place.file, *json),
        AccessCommand::Audit { log, knows, json } => audit(log, knows.as_deref(), *json),
    }
}

impl Grants {
    fn scope(&self) -> Scope {
        match self.prosumers.is_empty() {
            true => Scope::Nothing,
            false => Scope::Prosumers(self.prosumers.iter().copied().map(ProsumerId).collect()),
        }
    }
}

fn read(path: &Path) -> Result<Directory, Failure> {
    Ok(Directory::read(path).map_err(input)?.unwrap_or_default())
}

fn change<T>(
    place: &Place,
    change: impl FnOnce(&mut Directory) -> Result<T, DirectoryError>,
) -> Result<T, Failure> {
    Directory::change(&place.file, change).map_err(input)
}

fn input(error: DirectoryError) -> Failure {
    Failure::Input(error.into())
}

/// Typed twice at a terminal, or all of standard input without its last line end.
fn password(name: &str) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::Input(anyhow!("no password could be read: {error}"));
    if !std::io::stdin().is_terminal() {
        let mut text = String::new();
        std::io::stdin().take(4096).read_to_string(&mut text).map_err(failed)?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    let first = rpassword::prompt_password(format!("Password of {name}: ")).map_err(failed)?;
    let second = rpassword::prompt_password("The same again: ").map_err(failed)?;
    if first != second {
        return Err(Failure::Input(anyhow!("the two passwords differ; nothing was changed")));
    }
    Ok(first)
}

/// Shows a new secret, and keeps it when the person's app was proved to have it: who mistypes it is not shut out.
fn second_factor(name: &str, place: &Place) -> Result<(), Failure> {
    if !read(&place.file)?.accounts().iter().any(|account| account.name == name) {
        return Err(Failure::Input(anyhow!("nobody is called {name} in {}", place.file.display())));
    }
    let factor = SecondFactor::new().ok_or_else(|| input(DirectoryError::Random))?;
    let address = factor.address(name);
    if std::io::stderr().is_terminal() {
        eprintln!("{}", picture(&address).unwrap_or_default());
    }
    eprintln!("{name}'s app reads the picture, or this address, or the secret in it; it is shown only now:");
    say(address)?;
    let code = line("Code that the app shows now: ")?;
    if factor.step(&code.replace(' ', ""), WallClock.now()).is_none() {
        let reason = "this is not the code of now; nothing was changed. Is the clock of the telephone right?";
        return Err(Failure::Input(anyhow!(reason)));
    }
    change(place, |directory| directory.set_second_factor(name, Some(factor)))?;
    say(format!("{name} logs in with password and code from now on"))
}

/// An address as a picture that cameras read, for a terminal; `None` when it is too long for one.
fn picture(address: &str) -> Option<String> {
    let code = qrcode::QrCode::new(address).ok()?;
    // Dark on light, whatever the terminal's colours are.
    let dense = code.render::<qrcode::render::unicode::Dense1x2>();
    Some(format!("\x1b[30;47m{}\x1b[0m", dense.build().replace('\n', "\x1b[0m\n\x1b[30;47m")))
}

/// One line, asked for on standard error.
fn line(question: &str) -> Result<String, Failure> {
    eprint!("{question}");
    let mut text = String::new();
    let read = std::io::BufReader::new(std::io::stdin().take(256)).read_line(&mut text);
    read.map_err(|error| Failure::Input(anyhow!("nothing could be read: {error}")))?;
    Ok(text.trim().to_owned())
}

fn list(path: &Path, json: bool) -> Result<(), Failure> {
    let directory = read(path)?;
    if json {
        let accounts = directory.accounts().iter().map(|one| {
            let mut row = row("account", &one.name, &one.roles, &one.scope);
            row["second_factor"] = one.second_factor().is_some().into();
            row
        });
        let tokens = directory.tokens().iter().map(|one| {
            let mut row = row("token", &one.name, &one.roles, &one.scope);
            row["expires_at"] = one.expires_at.to_string().into();
            if let Some(site) = &one.site {
                row["site"] = site.as_str().into();
            }
            row
        });
        return say(serde_json::Value::from_iter(accounts.chain(tokens)));
    }
    for one in directory.accounts() {
        let factor = if one.second_factor().is_some() { "  second factor" } else { "" };
        say(format!("account  {:24} {}{factor}", one.name, granted(&one.roles, &one.scope)))?;
    }
    for one in directory.tokens() {
        say(format!(
            "token    {:24} {}  until {}{}",
            one.name,
            granted(&one.roles, &one.scope),
            one.expires_at,
            one.site.as_ref().map_or(String::new(), |site| format!("  at {site} only"))
        ))?;
    }
    if !directory.has_administrator() {
        eprintln!("nobody is security-admin yet");
    }
    Ok(())
}

fn row(kind: &str, name: &str, roles: &[Role], scope: &Scope) -> serde_json::Value {
    serde_json::json!({ "kind": kind, "name": name, "roles": roles, "scope": scope })
}

fn granted(roles: &[Role], scope: &Scope) -> String {
    let roles = roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match scope {
        Scope::Nothing => roles,
        Scope::Everything => format!("{roles}  everything"),
        Scope::Prosumers(own) => {
            let own: Vec<String> = own.iter().map(ToString::to_string).collect();
            format!("{roles}  prosumers {}", own.join(", "))
        }
    }
}

fn audit(log: &Path, knows: Option<&str>, json: bool) -> Result<(), Failure> {
    let report =
        verify_audit(log, knows).map_err(|error| Failure::Input(anyhow!("{}: {error}", log.display())))?;
    let missing = knows.filter(|_| !report.known).map(|hash| format!("it does not hold the hash {hash}"));
    let fault = report.broken.clone().or(missing);
    if json {
        say(serde_json::json!({
            "entries": report.entries, "last": report.last, "torn": report.torn, "broken": fault,
        }))?;
    } else if fault.is_none() {
        let torn = if report.torn { "; an unfinished one follows, which was never acknowledged" } else { "" };
        say(format!("{} entries, whole{torn}; the newest hash is {}", report.entries, report.last))?;
    }
    match fault {
        None => Ok(()),
        Some(reason) => Err(Failure::Run(anyhow!("{}: {reason}", log.display()))),
    }
}
