//! Compares what witnesses outside saw with what an exported journal says. Shares no code with the product.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What was seen from outside.
#[derive(Debug, Clone, Default)]
pub struct Witnessed {
    /// Ids of offers answered with 200 or 201.
    pub acknowledged: BTreeSet<String>,
    /// Orders as devices received them, repetitions included.
    pub orders: Vec<Value>,
    /// Names of orders that devices accepted.
    pub confirmed: BTreeSet<String>,
    /// Ids of offers whose withdrawal was answered with 200.
    pub withdrawn: BTreeSet<String>,
}

fn string(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// The lines of `gridflex journal export`.
pub fn records(export: &str) -> Vec<Value> {
    export.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

/// The market facts of one kind, in order.
pub fn facts<'a>(records: &'a [Value], event: &'a str) -> impl Iterator<Item = &'a Value> {
    records.iter().map(|record| &record["fact"]["market"]).filter(move |fact| fact["event"] == event)
}

/// Everything that does not fit, in words; nothing when nobody was deceived.
pub fn objections(records: &[Value], seen: &Witnessed) -> Vec<String> {
    let mut wrong = Vec::new();
    for (place, record) in records.iter().enumerate() {
        if record["number"] != place as u64 + 1 {
            wrong.push(format!("the record at place {} has number {}", place + 1, record["number"]));
        }
    }
    let mut accepted: BTreeMap<String, usize> = BTreeMap::new();
    for fact in facts(records, "offer_accepted") {
        *accepted.entry(string(&fact["offer"], "id")).or_default() += 1;
    }
    for (id, times) in accepted.iter().filter(|(_, times)| **times != 1) {
        wrong.push(format!("offer {id} was accepted {times} times"));
    }
    for id in seen.acknowledged.iter().filter(|id| !accepted.contains_key(*id)) {
        wrong.push(format!("offer {id} was acknowledged and is not in the journal"));
    }
    let mut withdrawn: BTreeMap<String, usize> = BTreeMap::new();
    for fact in facts(records, "offer_withdrawn") {
        *withdrawn.entry(string(fact, "offer")).or_default() += 1;
    }
    for (id, times) in withdrawn.iter().filter(|(_, times)| **times != 1) {
        wrong.push(format!("offer {id} was taken back {times} times"));
    }
    for id in seen.withdrawn.iter().filter(|id| !withdrawn.contains_key(*id)) {
        wrong.push(format!("offer {id} was taken back and that is not in the journal"));
    }
    let mut issued: BTreeMap<String, &Value> = BTreeMap::new();
    for fact in facts(records, "activation_issued") {
        let order = &fact["activation"];
        if issued.insert(string(order, "id"), order).is_some() {
            wrong.push(format!("order {} was issued twice", order["id"]));
        }
    }
    for order in &seen.orders {
        match issued.get(&string(order, "id")) {
            None => wrong.push(format!("order {} reached a device and is not in the journal", order["id"])),
            Some(known) if *known != order => {
                wrong.push(format!("order {} reached a device with another content", order["id"]));
            }
            Some(_) => {}
        }
    }
    let mut name_of: BTreeMap<String, String> = BTreeMap::new();
    for order in seen.orders.iter().chain(issued.values().copied()) {
        let (offer, name) = (string(order, "offer"), string(order, "id"));
        let first = name_of.entry(offer.clone()).or_insert_with(|| name.clone());
        if *first != name {
            wrong.push(format!("offer {offer} was ordered as {first} and as {name}"));
        }
    }
    let mut answered: BTreeMap<String, usize> = BTreeMap::new();
    for fact in facts(records, "activation_answered") {
        *answered.entry(string(&fact["status"], "activation")).or_default() += 1;
    }
    for name in &seen.confirmed {
        match answered.get(name) {
            Some(1) => {}
            times => wrong.push(format!("order {name} was confirmed, answers in the journal: {times:?}")),
        }
    }
    wrong
}
