//! Who delegates, by the site file.

use super::*;
use grid::{EnergyMwh, Money, ProsumerId};

/// The example site with something behind it.
fn example_with(more: &str) -> (PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/example-site");
    for entry in std::fs::read_dir(&example).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_file() {
            std::fs::copy(&entry, folder.path().join(entry.file_name().unwrap())).unwrap();
        }
    }
    let site = folder.path().join("site.toml");
    let text = std::fs::read_to_string(&site).unwrap() + "\n" + more;
    std::fs::write(&site, text).unwrap();
    (site, folder)
}

#[test]
fn who_delegates_is_known_to_the_area() {
    let own = check(&example_with("").0).unwrap().foundation.area.devices.values().next().unwrap().prosumer;
    let (site, _folder) = example_with(&format!(
        "[[delegation]]\nprosumer = {own}\nfrom = \"2026-12\"\nfixed_eur = 3\nstart_eur_per_slot = 0.05\n"
    ));
    let area = check(&site).unwrap().foundation.area;
    let [delegation] = &area.delegations[..] else { panic!("{:?}", area.delegations) };
    assert_eq!((delegation.prosumer, delegation.from.to_string()), (own, "2026-12".to_owned()));
    assert_eq!(delegation.contract.fixed_reward, Money(3_000_000));
    assert_eq!(delegation.contract.scheduling_start_time_reward, Money(50_000));
    assert_eq!(delegation.contract.imbalance_limit, EnergyMwh(100_000));
    assert_eq!(delegation.contract.fault(), None);
}

#[test]
fn who_has_no_device_or_delegates_twice_is_named_with_the_line() {
    let (site, _folder) = example_with("");
    let lines = std::fs::read_to_string(&site).unwrap().lines().count() as u64;
    let own = check(&site).unwrap().foundation.area.devices.values().next().unwrap().prosumer;
    let nobody = ProsumerId(4_000_000_000);
    let one = |prosumer: ProsumerId, month: u8| {
        format!("[[delegation]]\nprosumer = {prosumer}\nfrom = \"2026-{month:02}\"\n")
    };
    let (site, _folder) = example_with(&(one(own, 11) + &one(nobody, 11) + &one(own, 12)));
    let problems = check(&site).unwrap_err();
    let said: Vec<_> =
        problems.iter().map(|problem| (problem.line.unwrap(), problem.what.as_str())).collect();
    let expected = [
        (lines + 4, "prosumer 4000000000 delegates its trading and has no device".to_owned()),
        (lines + 7, format!("prosumer {own} delegates twice; the first contract is in line {}", lines + 1)),
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for ((line, what), (expected_line, start)) in said.iter().zip(&expected) {
        assert!(
            line == expected_line && what.starts_with(start.as_str()),
            "{line}: {what}; expected {start}"
        );
    }
}

#[test]
fn a_price_of_transfer_counts_for_those_behind_the_element_and_nowhere_is_a_problem() {
    let own = *check(&example_with("").0).unwrap().foundation.area.zone_of.keys().next().unwrap();
    // Enough to overload what leads there.
    let charger = format!(
        "[[device]]\nnumber = 4000\nprosumer = 4000\nusage_point = {own}\nkind = \"charger\"\np_max_kw = 500\n"
    );
    let area = check(&example_with(&charger).0).unwrap().foundation.area;
    let limited = area.zones[&area.zone_of[&own]][0].point.branch;
    let price = |branch: u32, from: &str| {
        format!(
            "[[transfer_price]]\nbranch = {branch}\nfrom = \"{from}\"\nuntil = \"20:00\"\neur_per_kwh = 0.05\n"
        )
    };
    let (site, _folder) = example_with(&(charger.clone() + &price(limited.0, "17:00")));
    let area = check(&site).unwrap().foundation.area;
    let cost = |zone, time: &str| {
        let slot = format!("2026-01-15T{time}:00Z").parse::<grid::Timestamp>().unwrap().slot();
        area.rules.transfer.of(&area.zones, zone, slot).0
    };
    let behind = |zone| area.zones[&zone].iter().any(|carried| carried.point.branch == limited);
    for &zone in area.zones.keys() {
        let busy = cost(zone, "17:00");
        assert_eq!(busy, if behind(zone) { 50_000 } else { 0 }, "{zone:?}");
        assert_eq!(cost(zone, "16:45"), 0);
    }
    let (site, _folder) = example_with(
        &(charger + &price(limited.0, "17:00") + &price(limited.0, "19:00") + &price(4_000_000, "01:00")),
    );
    let said: Vec<_> = check(&site).unwrap_err().into_iter().map(|problem| problem.what).collect();
    assert!(
        matches!(&said[..], [twice, nowhere] if twice.contains("that line") && nowhere.contains("branch 4000000")),
        "{said:?}"
    );
}

/// The example site, whose people sign in at a provider as this section says.
fn example_with_provider(section: &str) -> (PathBuf, tempfile::TempDir) {
    let (site, folder) = example_with(section);
    let text = std::fs::read_to_string(&site).unwrap();
    let accounts = folder.path().join("access.json");
    Directory::default().write(&accounts).unwrap();
    std::fs::write(&site, text.replacen("[http]", "[http]\naccounts = \"access.json\"", 1)).unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a secret\n").unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    (site, folder)
}

const PROVIDER: &str = "[oidc]\nname = \"Stadtwerke\"\nissuer = \"http://127.0.0.1:9/realms/grid\"\nclient_id = \"gridflex\"\n\
    client_secret_file = \"secret\"\npublic_url = \"http://localhost:8080\"\n\
    [[oidc.group]]\ngroup = \"/control room\"\nrole = \"operator\"\n\
    [[oidc.group]]\ngroup = \"homes\"\nrole = \"prosumer\"\nprosumers = \"3, 4\"\n";

#[test]
fn who_may_sign_in_elsewhere_is_known_with_what_its_groups_give() {
    let (site, folder) = example_with_provider(PROVIDER);
    let site = check(&site).unwrap();
    let oidc = site.listeners.accounts.unwrap().oidc.unwrap();
    assert_eq!(
        (oidc.name.as_str(), oidc.groups_claim.as_str(), oidc.scopes.join(" ").as_str()),
        ("Stadtwerke", "groups", "profile")
    );
    assert_eq!(oidc.client_secret_file, folder.path().join("secret"));
    assert_eq!(
        (oidc.lasts.vouched.as_secs(), oidc.lasts.asked_again.as_secs(), oidc.skew.as_secs()),
        (3_600, 600, 30)
    );
    let [room, homes] = &oidc.grants.0[..] else { panic!("{:?}", oidc.grants) };
    assert_eq!(
        (room.group.as_str(), room.role, room.prosumers.len()),
        ("/control room", access::Role::Operator, 0)
    );
    assert_eq!(
        (homes.role, &homes.prosumers[..]),
        (access::Role::Prosumer, &[ProsumerId(3), ProsumerId(4)][..])
    );
    assert!(
        site.summary.http.ends_with("here or at http://127.0.0.1:9/realms/grid"),
        "{}",
        site.summary.http
    );
}

#[test]
fn everything_that_is_wrong_with_a_provider_is_named_with_its_line() {
    let said = |section: &str| -> Vec<String> {
        let (site, folder) = example_with_provider(section);
        std::fs::write(folder.path().join("open"), "a secret").unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        let problems = check(&site).unwrap_err();
        problems
            .into_iter()
            .map(|problem| format!("{}: {}", problem.line.unwrap_or(0), problem.what))
            .collect()
    };
    let line = std::fs::read_to_string(&example_with_provider("").0).unwrap().lines().count() as u64 + 1;
    let cases = [
        ("issuer", "\"http://login.example\"", 2, "oidc.issuer: \"http://login.example\" is not encrypted"),
        (
            "issuer",
            "\"https://login.example?a=1\"",
            2,
            "oidc.issuer: \"https://login.example?a=1\" has a question mark",
        ),
        ("issuer", "\"login.example\"", 2, "oidc.issuer: \"login.example\" is no address"),
        ("client_id", "\"\"", 3, "oidc.client_id: it is empty"),
        ("client_secret_file", "\"missing\"", 4, "oidc.client_secret_file: "),
        ("client_secret_file", "\"open\"", 4, "oidc.client_secret_file: "),
        ("client_secret_file", "\"empty\"", 4, "oidc.client_secret_file: "),
        (
            "public_url",
            "\"https://grid.example\"",
            5,
            "oidc.public_url: grid.example is no name of this server",
        ),
        ("public_url", "\"http://localhost:8080/a\"", 5, "oidc.public_url: "),
        (
            "public_url",
            "\"http://grid.example\"",
            5,
            "oidc.public_url: \"http://grid.example\" is not encrypted",
        ),
        ("name", "\"\"", 1, "oidc.name: it has 1 to 40 characters"),
        ("authority", "\"secret\"", 6, "oidc.authority: "),
        ("scopes", "\"a \\\"b\"", 6, "oidc.scopes: "),
        ("recheck_minutes", "61", 6, "oidc.recheck_minutes: 61 is not between 0.05 and 60"),
        ("session_minutes", "5", 0, "oidc.recheck_minutes: a session would be over"),
        ("clock_skew_s", "301", 6, "oidc.clock_skew_s: 301 is not between 0 and 300"),
        ("client_secret", "\"a\"", 6, "oidc.client_secret: no such key; known are issuer"),
    ];
    for (key, value, offset, start) in cases {
        let replaced: Vec<&str> =
            PROVIDER.lines().filter(|line| !line.starts_with(&format!("{key} ="))).collect();
        let is_there = replaced.len() < PROVIDER.lines().count();
        let place = PROVIDER.lines().position(|line| line.starts_with(&format!("{key} ="))).unwrap_or(6);
        let mut lines: Vec<String> = replaced.into_iter().map(str::to_owned).collect();
        lines.insert(place, format!("{key} = {value}"));
        let found = said(&lines.join("\n"));
        assert_eq!(found.len(), 1, "{key} = {value}: {found:?}");
        let (at, what) = found[0].split_once(": ").unwrap();
        let wanted = if is_there { line + place as u64 } else { line + offset };
        assert!(what.starts_with(start), "{key} = {value}: {what}");
        assert_eq!(at.parse::<u64>().unwrap(), wanted, "{what}");
    }
    let without =
        |key: &str| PROVIDER.lines().filter(|line| !line.starts_with(key)).collect::<Vec<_>>().join("\n");
    for key in ["issuer", "client_id", "client_secret_file", "public_url"] {
        assert!(said(&without(key)).contains(&format!("{line}: oidc.{key}: is missing")), "{key}");
    }
    let groups = PROVIDER.replace("operator", "root").replace("\"3, 4\"", "\"all\"");
    let found = said(&groups);
    assert!(
        found[0].contains("oidc.group 1.role: there is no role \"root\"; there are operator, engineer"),
        "{found:?}"
    );
    assert!(found[1].contains("oidc.group 2.prosumers: \"all\" is no list"), "{found:?}");
    let nobody = PROVIDER.split("[[").next().unwrap();
    assert_eq!(
        said(nobody),
        [format!(
            "{line}: oidc.group: nobody could sign in: no group has a role; give one with [[oidc.group]]"
        )]
    );
    let (site, _folder) = example_with(PROVIDER);
    let problems = check(&site).unwrap_err();
    assert!(
        problems.iter().any(|problem| problem.what.starts_with("oidc: name the accounts in [http], too")),
        "{problems:?}"
    );
}
