//! Stories of `gridflex market clear`, `gridflex market verify` and of both market benches: what is said, written and
//! refused, and with which exit code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

mod harness;

use harness::{run, text, words};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;

/// Begin of an interval of the case.
fn at(interval: u32) -> String {
    format!("2026-01-15T{:02}:{:02}:00Z", interval / 4, interval % 4 * 15)
}

/// An offer with its default in interval 4 of kWh `energy`, which may start until interval `latest`.
fn offer(id: &str, node: &str, latest: u32, energy: f64, bounds: (f64, f64), cost: &Value) -> Value {
    json!({
        "id": id, "state": "offered", "creationTime": "2026-01-14T12:00:00Z", "offeredById": format!("p-{id}"),
        "locationID": node, "numSecondsPerInterval": 900,
        "startAfterTime": at(4), "startBeforeTime": at(latest),
        "flexOfferProfileConstraints": [{ "minDuration": 1, "maxDuration": 1,
            "energyConstraintList": [{ "lower": bounds.0, "upper": bounds.1 }] }],
        "defaultSchedule": { "startTime": at(4), "scheduleSlices": [{ "duration": 1, "energyAmount": energy }] },
        "cost": cost,
    })
}

/// Two nodes behind one transformer over three hours; less is asked for at `left` in intervals 4 and 5.
fn case_of(offers: Vec<Value>) -> Value {
    let mut asked = [0.0; 12];
    (asked[4], asked[5]) = (2.0, 1.0);
    let room = |kwh: f64| [kwh; 12];
    let price = asked.map(|asked| if asked > 0.0 { 0.4 } else { 0.0 });
    json!({
        "schema": "gridflex-market/1", "numSecondsPerInterval": 900, "startTime": at(0), "intervals": 12,
        "energyUnit": "kWh", "currency": "EUR", "nodes": ["left", "right"],
        "grid": { "rows": [
            { "element": "line-left", "headroom": room(1.0), "penalty": 3.0,
              "sensitivities": [{ "node": "left", "factor": 1.0 }] },
            { "element": "transformer", "headroom": room(1.5), "penalty": 3.0,
              "sensitivities": [{ "node": "left", "factor": 1.0 }, { "node": "right", "factor": 1.0 }] },
        ]},
        "bids": [{ "id": "doms-1", "congestionPoint": "feeder-left", "nodes": ["left"], "startTime": at(0),
            "intervalLength": 900, "scheduleChange": asked, "energyPrice": price }],
        "flexOffers": offers, "rules": { "pricing": "uniform-make-whole" },
    })
}

/// A charger that may move, a heat pump that may take less, one that is too dear, and one that nobody needs.
fn few() -> Vec<Value> {
    vec![
        offer(
            "charger",
            "left",
            9,
            1.0,
            (1.0, 1.0),
            &json!({ "activation": 0.02, "perIntervalShifted": 0.01 }),
        ),
        offer("pump", "left", 4, 1.0, (0.25, 1.0), &json!({ "perEnergyDeviation": 0.1 })),
        offer("dear", "left", 4, 1.0, (0.0, 1.0), &json!({ "perEnergyDeviation": 0.9 })),
        offer("elsewhere", "right", 4, 1.0, (0.0, 1.0), &json!({ "perEnergyDeviation": 0.1 })),
    ]
}

/// Welfare of these four, 10⁻¹⁸ EUR: 1.75 kWh of the 2 kWh of interval 4 are worth 0.70. Of that the charger asks 0.02
/// and 0.02 for two steps, to where nothing is asked for and the line carries 1 kWh more; the pump asks 0.075.
const WELFARE: &str = "585000000000000000";

/// Fifty of the first two kinds, by turns, at different prices.
fn fifty() -> Vec<Value> {
    let one = |n: u32| {
        let price = 0.05 + f64::from(n) * 0.004;
        let (id, node) = (format!("fo-{n}"), if n.is_multiple_of(3) { "right" } else { "left" });
        match n % 2 {
            0 => offer(&id, node, 4 + n % 5, 0.5, (0.5, 0.5), &json!({ "activation": price })),
            _ => offer(&id, node, 4, 0.5, (0.125, 0.75), &json!({ "perEnergyDeviation": price })),
        }
    };
    (0..50).map(one).collect()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", words(output)))
}

/// Clears a case; returns where the result is.
fn cleared(folder: &Folder, case: &Value, more: &[&str]) -> PathBuf {
    let (case, result) = (folder.write("case.json", &case.to_string()), folder.path("result.json"));
    let output =
        run(["market", "clear", text(&case), "-o", text(&result)].into_iter().chain(more.iter().copied()));
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    result
}

/// Ends with this code, nothing but the verdict on stdout, and all of this on stderr.
fn refused(code: i32, arguments: &[&str], says: &[&str]) {
    let output = run(arguments.iter().copied());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", words(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    for part in says {
        assert!(said.contains(part), "{arguments:?} does not say {part:?}: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_case_is_cleared_drawn_and_its_result_holds_by_itself() {
    let folder = Folder::new();
    let drawing = folder.path("day.svg");
    let result = cleared(&folder, &case_of(few()), &["--with-case", "--plot", text(&drawing)]);

    let found = json_of(&result);
    let list = |name: &str| found[name].as_array().unwrap().clone();
    let named = |entries: Vec<Value>| -> Vec<String> {
        entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(named(list("assignments")), ["charger", "pump"]);
    assert_eq!(named(list("refusals")), ["dear", "elsewhere"]);
    assert_eq!(list("refusals")[0]["reason"], "too-dear");
    assert_eq!(found["welfareExact"], WELFARE);
    assert_eq!(found["assignments"][0]["startTime"], at(6));
    assert_eq!(found["assignments"][1]["scheduleSlices"][0]["energyAmount"], 0.25);
    let sum: f64 = list("postings").iter().map(|posting| posting["amount"].as_f64().unwrap()).sum();
    assert!(sum.abs() < 1e-9 && list("postings").last().unwrap()["account"] == "dso", "{found}");
    assert_eq!(found["case"], case_of(few()), "the case is in the result as it was given");

    let alone = run(["market", "verify", text(&result)]);
    assert_eq!(alone.status.code(), Some(0), "{}", words(&alone));
    assert!(words(&alone).contains("holds") && words(&alone).contains("0.5850"), "{}", words(&alone));
    let verdict = answer(&run([
        "market",
        "verify",
        text(&result),
        "--case",
        text(&folder.path("case.json")),
        "--json",
    ]));
    assert_eq!((&verdict["holds"], &verdict["objection"]), (&json!(true), &Value::Null));
    assert_eq!(verdict["welfare"], found["welfare"]);

    let svg = std::fs::read_to_string(&drawing).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    for label in [
        "feeder-left: need, price and head-room",
        ">asked<",
        ">delivered (below 0: rebound)<",
        ">the bid offers<",
        ">one more kWh of relief is worth<",
        ">head-room<",
        ">used of line-left<",
        "welfare 0.59, at most 0.59",
        "2 of 4 offers assigned",
        ">00:00<",
        ">03:00<",
    ] {
        assert!(svg.contains(label), "{label} is not in the drawing: {svg}");
    }
    // A filled area and a line in each of three panels.
    assert_eq!((svg.matches("fill-opacity").count(), svg.matches("stroke-width=\"1.6\"").count()), (3, 3));
}

#[test]
fn the_figures_of_a_clearing_are_told_as_one_document() {
    let folder = Folder::new();
    let case = folder.write("case.json", &case_of(few()).to_string());
    let figures = answer(&run(["market", "clear", text(&case), "--json"]));
    for (name, value) in
        [("offers", 4), ("refused", 0), ("assigned", 2), ("overloaded", 0), ("overloadedBeyond", 0)]
    {
        assert_eq!(figures[name], value, "{name}: {figures}");
    }
    assert!((figures["welfare"].as_f64().unwrap() - 0.585).abs() < 1e-9, "{figures}");
    assert!(figures["bound"].as_f64() >= figures["welfare"].as_f64(), "{figures}");
    // Without a place for it the result goes to standard output.
    let written = answer(&run(["market", "clear", text(&case)]));
    assert_eq!(
        (&written["schema"], &written["welfareExact"]),
        (&json!("gridflex-market-result/1"), &json!(WELFARE))
    );
}

/// A changed result: where and to what, which exit code, and what is said of it.
type Change = (Vec<(&'static str, Value)>, i32, &'static str);

#[test]
fn whoever_changes_a_result_is_found_out_by_name() {
    let folder = Folder::new();
    let honest = json_of(&cleared(&folder, &case_of(few()), &["--with-case"]));
    let price = honest["prices"]["congestionPoints"][0]["price"][4].as_f64().unwrap();
    let (welfare, better) = (585_000_000_000_000_000_i128, 600_000_000_000_000_000_i128);
    let gap = (better - welfare) as f64 / better as f64;
    let (bid_price, energy) =
        ("/prices/congestionPoints/0/price/4", "/assignments/1/scheduleSlices/0/energyAmount");
    let bound = ("/boundExact", json!(better.to_string()));
    // What does not hold is 1; what a result says twice and differently is 2, it cannot even be judged.
    let changes: [Change; 12] = [
        (vec![(bid_price, json!(((price - 0.01) * 1e6).round() / 1e6))], 1, "its payment is 400000"),
        (vec![(bid_price, json!(9.0))], 1, "a price of bid 0 in interval 4"),
        (vec![(energy, json!(0.24))], 1, "offer 1: a slice outside of its bounds"),
        (vec![(energy, json!(0.5))], 1, "offer 1: what it asks"),
        (vec![("/assignments/0/startTime", json!(at(10)))], 1, "offer 0: a start outside of its window"),
        (vec![("/assignments/0/payment", json!(5.0))], 1, "its payment is 5000000"),
        (vec![("/postings/0/amount", json!(7.0))], 1, "the postings"),
        (
            vec![bound.clone(), ("/bound", json!(better as f64 * 1e-18)), ("/gap", json!(gap))],
            1,
            "the bound is 600000000000000000, it should be 585000000000000000",
        ),
        (vec![bound], 2, "is 0"),
        (vec![("/bound", json!(0.5))], 2, "bound is 0.5, it should be 0.585"),
        (vec![("/ruleSet", json!("uniform/1"))], 2, "ruleSet is \"uniform/1\""),
        (vec![("/welfareExact", json!(better.to_string()))], 2, "it should be 0.6"),
    ];
    for (changed, code, says) in changes {
        let mut tampered = honest.clone();
        for (place, value) in &changed {
            let old = tampered.pointer_mut(place).unwrap_or_else(|| panic!("{place} is not in {honest}"));
            assert_ne!(old, value, "{place} is not changed");
            *old = value.clone();
        }
        let path = folder.write("tampered.json", &tampered.to_string());
        refused(code, &["market", "verify", text(&path)], &["tampered.json", says]);
        if code == 1 {
            let verdict = answer(&run(["market", "verify", text(&path), "--json"]));
            assert_eq!(verdict["holds"], false, "{changed:?}");
            assert!(verdict["objection"].as_str().unwrap().contains(says), "{verdict}");
        }
    }
}

#[test]
fn a_bad_offer_is_refused_with_its_code_and_the_rest_is_cleared() {
    let folder = Folder::new();
    let mut offers = few();
    offers.push(offer("upside-down", "left", 4, 1.0, (1.0, 0.5), &json!({})));
    offers.push(offer("nowhere", "middle", 4, 1.0, (0.0, 1.0), &json!({})));
    offers.push(offer("pump", "right", 4, 1.0, (0.0, 1.0), &json!({})));
    offers.push(offer("text", "left", 4, 1.0, (0.0, 1.0), &json!({ "perEnergyDeviation": "much" })));
    let case = folder.write("case.json", &case_of(offers).to_string());
    let result = folder.path("result.json");
    let output = run(["market", "clear", text(&case), "-o", text(&result), "--with-case", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    let figures = answer(&output);
    assert_eq!((&figures["refused"], &figures["assigned"]), (&json!(4), &json!(2)));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = json_of(&result);
    assert_eq!(found["welfareExact"], WELFARE, "the others are cleared as if they were not there");
    let refusals = found["refusals"].as_array().unwrap();
    for (id, kind) in [("upside-down", "inverted-"), ("nowhere", "unknown-"), ("text", "")] {
        let refusal =
            refusals.iter().find(|refusal| refusal["id"] == id).unwrap_or_else(|| panic!("{id}: {found}"));
        let (code, sentence) = (refusal["reason"].as_str().unwrap(), refusal["sentence"].as_str().unwrap());
        assert!(code.starts_with(kind) && code.len() > 3 && sentence.contains(' '), "{refusal}");
        assert!(said.contains(id) && said.contains(code), "{id} {code} is not on stderr: {said}");
    }
    let holds = run(["market", "verify", text(&result)]);
    assert_eq!(holds.status.code(), Some(0), "{}", words(&holds));
}

#[test]
fn what_is_no_case_and_no_result_is_refused_by_file_and_place() {
    let folder = Folder::new();
    let good = folder.write("case.json", &case_of(few()).to_string());
    let whole = case_of(few()).to_string();
    refused(2, &["market", "clear", "/no/such/case.json"], &["/no/such/case.json"]);
    for (name, content) in
        [("rubbish.json", "\u{0}\u{1}]["), ("half.json", &whole[..whole.len() / 2]), ("list.json", "[1, 2]")]
    {
        let path = folder.write(name, content);
        refused(2, &["market", "clear", text(&path)], &[name]);
        refused(2, &["market", "verify", text(&path)], &[name]);
        refused(2, &["bench", "clear", text(&path)], &[name]);
    }
    let changed = |name: &str, change: fn(&mut Value)| {
        let mut case = case_of(few());
        change(&mut case);
        folder.write(name, &case.to_string())
    };
    let schema = changed("schema.json", |case| case["schema"] = json!("gridflex-market/9"));
    refused(2, &["market", "clear", text(&schema)], &["schema.json", "gridflex-market/9"]);
    let bid = changed("bid.json", |case| case["bids"][0]["nodes"][0] = json!("middle"));
    refused(2, &["market", "clear", text(&bid)], &["bid.json", "middle"]);
    let drawing = folder.path("day.svg");
    let plot = ["market", "clear", text(&good), "--plot", text(&drawing), "--plot-point", "feeder-right"];
    refused(2, &plot, &["feeder-right", "feeder-left"]);
    assert!(!drawing.exists(), "a refused drawing left something behind");
    let result = cleared(&folder, &case_of(few()), &[]);
    refused(2, &["market", "verify", text(&result)], &["result.json", "--case"]);
    refused(2, &["market", "verify", text(&result), "--case", "/no/such/case.json"], &["/no/such/case.json"]);
    // The result of another case.
    let other = changed("other.json", |case| case["bids"][0]["energyPrice"][4] = json!(0.1));
    let output = run(["market", "verify", text(&result), "--case", text(&other)]);
    assert_ne!(output.status.code(), Some(0), "{}", words(&output));
}

#[test]
fn the_bench_of_clearing_measures_what_it_says() {
    let folder = Folder::new();
    let case = folder.write("case.json", &case_of(fifty()).to_string());
    let arguments = ["bench", "clear", text(&case), "--repeat", "1", "--changes", "4"];
    let output = run(arguments.into_iter().chain(["--json"]));
    let figures = answer(&output);
    let number = |name: &str| figures[name].as_f64().unwrap_or_else(|| panic!("{name}: {figures}"));
    assert_eq!((number("offers"), number("intervals")), (50.0, 12.0));
    for name in ["read_ms", "cold_ms", "verify_ms", "warm_ms_p50", "warm_ms_p95"] {
        assert!(number(name) > 0.0 && number(name) < 60_000.0, "{name}: {figures}");
    }
    assert!(number("warm_ms_p50") <= number("warm_ms_p95"), "{figures}");
    assert!(number("welfare") > 0.0 && number("welfare") <= number("bound"), "{figures}");
    assert!((0.0..0.06).contains(&number("gap")), "{figures}");
    assert!(number("over_greedy") >= 1.0 && number("greedy_welfare") <= number("welfare"), "{figures}");
    assert_eq!(number("overloaded_beyond"), 0.0, "{figures}");
    let table = run(arguments);
    assert!(words(&table).contains("50 offers × 12 intervals"), "{}", words(&table));
}

#[test]
fn the_bench_of_aggregation_measures_what_it_says() {
    let arguments = ["bench", "aggregate", "--offers", "50", "--sizes", "50,200", "--repeat", "1"];
    let figures = answer(&run(arguments.into_iter().chain(["--json"])));
    assert_eq!((&figures["offers"], &figures["what"]), (&json!(50), &json!("aggregate")));
    for kind in ["slice", "total"] {
        let bulk = &figures[kind];
        assert!((1..=50).contains(&bulk["aggregates"].as_u64().unwrap()), "{bulk}");
        assert_eq!((&bulk["violations"], &bulk["mismatch_mwh"]), (&json!(0), &json!(0)), "{bulk}");
        for name in ["aggregate_offers_per_s", "split_offers_per_s"] {
            assert!(bulk[name].as_f64().unwrap() > 0.0, "{name}: {bulk}");
        }
        for name in ["time_loss", "energy_loss"] {
            assert!((0.0..=1.0).contains(&bulk[name].as_f64().unwrap()), "{name}: {bulk}");
        }
    }
    assert_eq!(figures["slice"]["energy_loss"], 0.0, "bounds per slice add up exactly");
    let sizes: Vec<&Value> =
        figures["changes"].as_array().unwrap().iter().map(|change| &change["portfolio"]).collect();
    assert_eq!(sizes, [50, 200]);
    for name in ["insert_us_mean", "insert_us_p99", "delete_us_mean", "delete_us_p99"] {
        assert!(figures["changes"][0][name].as_f64().unwrap() > 0.0, "{name}: {figures}");
    }
    let table = run(arguments);
    assert!(words(&table).contains("aggregate · 50 offers"), "{}", words(&table));
    refused(2, &["bench", "aggregate", "--offers", "0"], &["--offers"]);
}

#[test]
fn the_battery_of_the_documents_gives_what_it_has_and_may_hold_and_is_refilled() {
    let folder = tempfile::tempdir().unwrap();
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clearing-battery.json");
    let result = folder.path().join("result.json");
    for words in [
        vec!["market", "clear", text(&case), "-o", text(&result)],
        vec!["market", "verify", text(&result), "--case", text(&case)],
    ] {
        let done = run(words);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let written: Value = serde_json::from_slice(&std::fs::read(&result).unwrap()).unwrap();
    let slices = written["assignments"][0]["scheduleSlices"].as_array().unwrap();
    let sums = slices.iter().scan(0.0, |sum, slice| {
        *sum += slice["energyAmount"].as_f64().unwrap();
        Some((*sum * 1e6_f64).round() as i64)
    });
    let sums: Vec<i64> = sums.collect();
    assert_eq!(
        (sums.iter().max(), sums.iter().min(), sums.last()),
        (Some(&2_500_000), Some(&-2_000_000), Some(&0))
    );
}
