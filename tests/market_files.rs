//! Stories of FlexOffers in files: spelled anew, and summed and split over three levels by the command line alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test

mod harness;

use harness::{run, text, words};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Runs `gridflex market …`; the command has to succeed.
fn market(arguments: &[&str]) -> String {
    let output = run(["market"].into_iter().chain(arguments.iter().copied()));
    assert!(output.status.success(), "{arguments:?}: {}", words(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn document(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A charger or heater of a home: 1 kWh in each of two quarter-hours, anything from nothing to 2 kWh.
fn device(home: usize, number: usize) -> Value {
    let slice = json!({ "energyConstraintList": [{ "lower": 0.125 * number as f64, "upper": 2 }] });
    json!({
        "id": format!("home-{home}-device-{number}"), "creationTime": "2026-01-14T12:00:00Z",
        "offeredById": format!("{home}0{number}"), "locationID": format!("socket-{home}"),
        "startAfterTime": "2026-01-15T01:00:00Z", "startBeforeTime": "2026-01-15T01:00:00Z",
        "flexOfferProfileConstraints": [slice, slice],
        "defaultSchedule": { "startTime": "2026-01-15T01:00:00Z",
            "scheduleSlices": [{ "energyAmount": 1 }, { "energyAmount": 1 }] },
        "cost": { "perEnergyDeviation": 0.1 },
    })
}

/// Energies of assignments by the start of their interval, in whole mWh.
fn totals(document: &Value) -> BTreeMap<i64, i64> {
    let mut totals = BTreeMap::new();
    for assignment in document["assignments"].as_array().unwrap() {
        let start: grid::Timestamp = assignment["startTime"].as_str().unwrap().parse().unwrap();
        for (at, slice) in (0_i64..).zip(assignment["scheduleSlices"].as_array().unwrap()) {
            let energy = (slice["energyAmount"].as_f64().unwrap() * 1e6).round() as i64;
            *totals.entry(start.nanos() / 900_000_000_000 + at).or_default() += energy;
        }
    }
    totals
}

#[test]
fn over_three_levels_of_files_the_top_is_the_sum_of_the_devices() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, value: &Value| fs::write(path(name), value.to_string()).unwrap();
    // The lowest level: three homes of three devices each, handed to their street's market as its prosumers 11 to 13.
    let mut street = Vec::new();
    for home in 1..=3 {
        let devices: Vec<Value> = (1..=3).map(|number| device(home, number)).collect();
        write(&format!("home-{home}.json"), &json!({ "flexOffers": devices }));
        let (input, out) = (path(&format!("home-{home}.json")), path(&format!("of-home-{home}.json")));
        let (owner, number) = (format!("1{home}"), format!("4{home}"));
        market(&[
            "aggregate",
            text(&input),
            "--as",
            &owner,
            "--device",
            &number,
            "--place",
            "street",
            "-o",
            text(&out),
        ]);
        let offers = document(&out)["flexOffers"].as_array().unwrap().clone();
        let [offer] = offers.as_slice() else { panic!("{offers:?}") };
        let of_level_above = [&offer["offeredById"], &offer["deviceId"], &offer["locationID"]];
        assert_eq!(of_level_above, [&json!(owner), &json!(40 + home), &json!("street")]);
        street.push(offer.clone());
    }
    let ids: std::collections::BTreeSet<&str> =
        street.iter().map(|offer| offer["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3, "portfolios that know nothing of each other name their offers apart");
    // The street's market hands all three to the DSO's as its prosumer 7.
    write("street.json", &json!({ "nodes": ["street"], "flexOffers": street }));
    let (input, out) = (path("street.json"), path("of-street.json"));
    market(&["aggregate", text(&input), "--as", "7", "--device", "70", "--place", "left", "-o", text(&out)]);
    let of_street = document(&out);
    assert_eq!(of_street["nodes"], json!(["street", "left"]));
    assert_eq!(of_street["flexOffers"].as_array().unwrap().len(), 1);
    // There less is asked for.
    let (mut asked, mut price) = ([0.0; 12], [0.0; 12]);
    (asked[4], asked[5], price[4], price[5]) = (5.25, 1.000_001, 0.4, 0.4);
    write(
        "top.json",
        &json!({
            "schema": "gridflex-market/1", "startTime": "2026-01-15T00:00:00Z", "intervals": 12, "nodes": ["left"],
            "bids": [{ "id": "doms-1", "nodes": ["left"], "startTime": "2026-01-15T00:00:00Z",
                "intervalLength": 900, "scheduleChange": asked, "energyPrice": price }],
            "flexOffers": of_street["flexOffers"],
        }),
    );
    market(&["clear", text(&path("top.json")), "-o", text(&path("result.json"))]);
    market(&["verify", text(&path("result.json")), "--case", text(&path("top.json"))]);
    let top = totals(&document(&path("result.json")));
    // Down again: the street's part of it among homes, each home's among devices.
    let split = |file: &str, by: &str, out: &str| {
        let (file, by, out) = (path(file), path(by), path(out));
        market(&["disaggregate", text(&file), "--assignments", text(&by), "-o", text(&out)]);
        document(&out)
    };
    assert_eq!(totals(&split("of-street.json", "result.json", "homes.json")), top);
    let (mut devices, mut seen) = (BTreeMap::new(), 0);
    for home in 1..=3 {
        let mut own = split(&format!("of-home-{home}.json"), "homes.json", &format!("devices-{home}.json"));
        // What is assigned to the other homes passes.
        let assignments = own["assignments"].as_array_mut().unwrap();
        assignments.retain(|part| part["id"].as_str().unwrap().starts_with(&format!("home-{home}-")));
        seen += assignments.len();
        for (slot, energy) in totals(&own) {
            *devices.entry(slot).or_default() += energy;
        }
    }
    assert_eq!((seen, &devices), (9, &top));
    let changed: Vec<i64> = top.values().map(|energy| 9_000_000 - energy).collect();
    assert_eq!(changed, [5_250_000, 1_000_001], "what was asked for is what nine devices do");
}

#[test]
fn an_aggregate_in_the_name_of_a_prosumer_needs_its_device_and_its_place() {
    for arguments in
        [&["--as", "7"][..], &["--device", "1"], &["--as", "two words", "--device", "1", "--place", "p"]]
    {
        let output = run(["market", "aggregate", "x.json"].into_iter().chain(arguments.iter().copied()));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", words(&output));
    }
}

#[test]
fn more_offers_than_are_read_are_refused_with_their_count_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("many.json");
    fs::write(&input, format!(r#"{{"flexOffers": [{}{{}}]}}"#, "{},".repeat(1_000_000))).unwrap();
    let output = run(["market", "aggregate", text(&input)]);
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    let told = "flexOffers: 1000001 entries, at most 1000000 are read: split them (too-many)";
    assert!(words(&output).contains(told), "{}", words(&output));
    // Sparse: it takes no room.
    fs::File::create(&input).unwrap().set_len((2 << 30) + 1).unwrap();
    for command in ["aggregate", "disaggregate"] {
        let output = run(["market", command, text(&input)]);
        assert!(words(&output).contains("(too-large)"), "{}", words(&output));
    }
}

/// The samples of the repository, and the published ones beside it.
fn samples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("connectors/testdata/flexoffer")];
    match root.join("../shared/peers/flexoffer") {
        published if published.is_dir() => folders.push(published),
        _ => println!(
            "SKIPPED: the published FlexOffers are not in ../shared/peers/flexoffer beside the repository"
        ),
    }
    let in_folder = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_offer = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "json" || kind == "xml");
    folders.into_iter().flat_map(in_folder).filter(is_offer).collect()
}

#[test]
fn every_sample_spelled_anew_in_any_form_and_back_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    let samples = samples();
    assert!(samples.len() >= 7, "{samples:?}");
    for sample in &samples {
        let before = market(&["convert", text(sample), "--to", "specification"]);
        for form in ["specification", "manager", "market", "xml"] {
            let said = market(&["convert", text(sample), "--to", form, "-o", text(&there)]);
            assert!(said.starts_with("1 offers, 0 entries refused"), "{said}");
            market(&["convert", text(&there), "--to", "specification", "-o", text(&back)]);
            let after: Value = document(&back);
            let before: Value = serde_json::from_str(&before).unwrap();
            assert_eq!(after, before, "{} as {form}", sample.display());
            // Written in the form itself once more it is the same text: it was canonical.
            let again = market(&["convert", text(&there), "--to", form]);
            assert_eq!(again.trim_end(), fs::read_to_string(&there).unwrap().trim_end(), "{form}");
        }
    }
}

#[test]
fn an_offer_that_cannot_be_read_is_told_of_and_the_others_are_spelled_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("offers.json"), folder.path().join("offers.xml"));
    let mut bad = device(1, 2);
    bad["flexOfferProfileConstraints"][0]["energyConstraintList"][0]["lower"] = json!(3);
    let mut named = device(1, 4);
    named["offeredById"] = json!("harry");
    named["deviceId"] = json!(0);
    let gone = json!({ "id": "home-1-device-3", "offeredById": "103", "flexOfferProfileConstraints": [] });
    let list = json!([device(1, 1), bad, device(1, 3), gone, named]);
    fs::write(&input, json!({ "flexOffers": list }).to_string()).unwrap();
    let output = run(["market", "convert", text(&input), "--to", "xml", "--json", "-o", text(&out)]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(words(&output).contains("inverted-slice"), "{}", words(&output));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&figures["offers"], &figures["withdrawn"], &figures["refused"]),
        (&json!(2), &json!(1), &json!(2))
    );
    let xml = fs::read_to_string(&out).unwrap();
    assert!(
        xml.contains("home-1-device-1") && !xml.contains("device-2") && !xml.contains("device-3"),
        "{xml}"
    );
    assert!(
        xml.contains("<offeredById>harry</offeredById>") && xml.contains("<deviceId>0</deviceId>"),
        "{xml}"
    );
    let output = run(["market", "convert", text(&input), "--to", "morse"]);
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
}
