//! Everything in this crate that reads bytes of others, by name, for a test that throws anything at it.
//!
//! Each function takes any bytes, does with them what the product does, and returns. `tests/fuzz` mutates real samples and
//! holds the list complete: a file that reads bytes is named here, or there with the reason why not.

use crate::clearing_case::{ResultExtras, read_case, read_result, write_result};
use crate::flex_offer::{Dialect, Directory};
use crate::mqtt::door::{Action, Identity, Policy, filter};
use crate::mqtt::foreign;
#[cfg(feature = "opcua")]
use crate::opcua;
use crate::{acquisition, amqp, house, iec104, mqtt, portfolio_file};
use bytes::BytesMut;
use grid::{BranchId, Slot, Timestamp};
use market::portfolio::{Bounds, Tolerances};
use market::{BidId, CongestionPoint};
use rumqttc::mqttbytes::v4::Packet;
use std::path::Path;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Parser {
    /// Its name, also of the folder of its samples.
    pub name: &'static str,
    /// Files of `src` in which it reads; a folder stands for all of it.
    pub files: &'static [&'static str],
    /// Reads any bytes.
    pub read: fn(&[u8]),
}

const fn parser(name: &'static str, files: &'static [&'static str], read: fn(&[u8])) -> Parser {
    Parser { name, files, read }
}

/// All of them.
pub const PARSERS: &[Parser] = &[
    parser("mqtt_packets", &["mqtt/door/wire.rs"], mqtt_packets),
    parser("mqtt_retained", &["mqtt/door/retained.rs"], mqtt::door::read_retained),
    parser("mqtt_rights", &["mqtt/door/policy.rs", "mqtt/door/password.rs", "house/points.rs"], mqtt_rights),
    parser("mqtt_filters", &["mqtt/door/filter.rs"], mqtt_filters),
    parser("house", &["house/decode.rs", "house/telemetry.rs", "house/topic.rs"], house_message),
    parser("foreign", &["mqtt/foreign"], foreign::read_any),
    parser("flex_offer", &["flex_offer", "raw_list.rs"], flex_offer),
    parser("doms_bid", &["doms_bid/mod.rs"], doms_bid),
    parser("doms_feedback", &["doms_bid/feedback.rs"], |bytes| {
        let _ = crate::doms_bid::decode_feedback(bytes);
    }),
    parser("clearing_case", &["clearing_case/decode.rs", "clearing_case/offer.rs"], clearing_case),
    parser("clearing_result", &["clearing_case/result_read.rs", "clearing_case/plain.rs"], clearing_result),
    parser("portfolio", &["portfolio_file"], portfolio),
    parser("iec104", &["iec104/apci.rs", "iec104/asdu.rs", "iec104/cp.rs", "iec104/tag.rs"], iec104_bytes),
    #[cfg(feature = "opcua")]
    parser("opcua_chunk", &["opcua/server/gate/chunk.rs"], opcua::server::read_chunk),
    #[cfg(feature = "opcua")]
    parser("opcua_tag", &["opcua/tag.rs"], |bytes| drop(text(bytes).parse::<opcua::Tag>())),
    #[cfg(feature = "modbus")]
    parser("modbus", &["modbus/tag.rs", "modbus/decode.rs"], modbus),
    #[cfg(feature = "modbus")]
    parser("modbus_rtu", &["modbus/rtu.rs", "modbus/address.rs"], crate::modbus::read_any),
    parser("amqp", &["amqp/wire.rs", "amqp/request.rs"], amqp::read_any),
    parser("point_map", &["point_map"], point_map),
    parser(
        "acquisition",
        &[
            "acquisition/envelope.rs",
            "acquisition/row.rs",
            "acquisition/pseudonym.rs",
            "acquisition/mapping.rs",
            "acquisition/client/line.rs",
        ],
        acquisition::read_any,
    ),
    parser("network_file", &["network_file"], |bytes| drop(crate::network_file::read(bytes))),
    parser("opendss", &["opendss"], opendss),
    parser("pandapower", &["pandapower"], pandapower),
    parser("power_grid_model", &["power_grid_model"], power_grid_model),
];

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn now() -> Timestamp {
    Slot(1_965_170).start()
}

fn mqtt_packets(bytes: &[u8]) {
    let mut input = BytesMut::from(bytes);
    while let Ok(packet) = Packet::read(&mut input, 256 << 10) {
        if let Packet::Publish(publish) = packet {
            let _ = house::decode(&publish.topic, &publish.payload, now());
        }
    }
}

fn mqtt_rights(bytes: &[u8]) {
    let Ok(policy) = Policy::from_toml(&text(bytes)) else { return };
    let _ = policy.identify(&["meter".to_owned()], Some(("meter", "secret")));
    let who = Identity::named("meter");
    let _ = policy.allows(&who, Action::Publish, "gridflex/demo/telemetry/bus.1.u.a");
    let _ = policy.points(&who);
}

/// A filter, and a topic in the second line.
fn mqtt_filters(bytes: &[u8]) {
    let lines = text(bytes);
    let (filter, topic) = lines.split_once('\n').unwrap_or((&lines, &lines));
    let _ = (filter::is_topic(topic), filter::is_filter(filter));
    let _ = (filter::matches(filter, topic), filter::includes(filter, topic));
}

/// The topic in the first line, the payload after it.
fn house_message(bytes: &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (topic, payload) = bytes.split_at_checked(line).unwrap_or_default();
    if let Ok(message) = house::decode(&text(topic), payload.get(1..).unwrap_or_default(), now()) {
        let _ = house::Points::read(&["device.*".to_owned()]).map(|points| points.check(&message));
    }
}

fn flex_offer(bytes: &[u8]) {
    let mut directory = Directory::open();
    if let Ok(document) = crate::flex_offer::decode(bytes, &mut directory) {
        let messages: Vec<_> = document.offers().cloned().collect();
        for dialect in Dialect::ALL {
            let _ = crate::flex_offer::encode(&messages, dialect, &directory);
        }
    }
    if let Ok(value) = serde_json::from_slice(bytes) {
        let _ = crate::flex_offer::read_schedule(&value, "");
    }
    let _ = crate::flex_offer::convert(bytes, Dialect::Specification);
}

fn doms_bid(bytes: &[u8]) {
    let Ok(id) = BidId::new("bid") else { return };
    let point = CongestionPoint { branch: BranchId(1), phase: None };
    if let Ok(bid) = crate::doms_bid::decode(bytes, id, point, Slot(1_965_170)) {
        let _ = crate::doms_bid::encode(&bid);
    }
}

fn clearing_case(bytes: &[u8]) {
    let _ = read_case(&text(bytes));
}

/// A case, and its result in what follows an empty line.
fn clearing_result(bytes: &[u8]) {
    let both = text(bytes);
    let (case, result) = both.split_once("\n\n").unwrap_or((&both, ""));
    let Ok(case) = read_case(case) else { return };
    if let Ok(clearing) = read_result(&case, result) {
        let _ = market::certificate::verify(&case.problem, &clearing);
        let _ = write_result(&case, &clearing, &ResultExtras::default());
    }
}

fn portfolio(bytes: &[u8]) {
    let _ = portfolio_file::aggregate(bytes, Tolerances::default(), Bounds::default(), None);
    let _ = portfolio_file::disaggregate(bytes, None);
    let _ = portfolio_file::disaggregate(bytes, Some(bytes));
}

fn iec104_bytes(bytes: &[u8]) {
    let _ = text(bytes).parse::<iec104::Address>();
    let mut rest = bytes;
    while let Ok(iec104::Split::Frame(frame, length)) = iec104::split(rest) {
        if let iec104::Frame::I { asdu, .. } = frame
            && let Ok(asdu) = iec104::Asdu::read(asdu)
            && let Some(Ok(objects)) = asdu.objects()
        {
            for object in objects {
                let _ = object.time.and_then(|time| iec104::resolve(time, now(), 60));
            }
        }
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// A tag in the first line, registers after it.
#[cfg(feature = "modbus")]
fn modbus(bytes: &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (tag, rest) = bytes.split_at_checked(line).unwrap_or_default();
    let Ok(register) = text(tag).parse::<crate::modbus::Register>() else { return };
    let (pairs, _) = rest.get(1..).unwrap_or_default().as_chunks::<2>();
    let registers: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    if let Some(number) = crate::modbus::decode(register.format, register.order, &registers) {
        let _ = number.value();
    }
}

fn point_map(bytes: &[u8]) {
    let Ok(map) = crate::point_map::read(bytes) else { return };
    let _ = foreign::BrokerConfig::points(&map);
    let _ = iec104::Iec104Config::points(&map);
    #[cfg(feature = "modbus")]
    let _ = crate::modbus::ModbusConfig::points(&map);
    #[cfg(feature = "opcua")]
    let _ = opcua::OpcUaConfig::points(&map);
}

/// One script that is every file it asks for.
struct Same<'a>(&'a [u8], usize);

impl crate::opendss::Files for Same<'_> {
    fn read(&mut self, _: &Path) -> std::io::Result<Vec<u8>> {
        self.1 = self.1.checked_sub(1).ok_or(std::io::ErrorKind::NotFound)?;
        Ok(self.0.to_vec())
    }
}

fn opendss(bytes: &[u8]) {
    if let Ok(study) = crate::opendss::read(&mut Same(bytes, 3), Path::new("Master.dss")) {
        let _ = study.network();
    }
}

fn pandapower(bytes: &[u8]) {
    let _ = crate::pandapower::is_pandapower(bytes);
    let _ = crate::pandapower::read(bytes, "any");
}

fn power_grid_model(bytes: &[u8]) {
    let _ = crate::power_grid_model::read(bytes, "any");
    let _ = crate::power_grid_model::read_strictly(bytes, "any");
    let _ = crate::power_grid_model::read_update(bytes);
}
