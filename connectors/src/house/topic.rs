//! Topics: `gridflex/<area>/telemetry/<anything>` and `gridflex/<area>/device/<device>/report|status|activation`.

use super::reject::{Refusal, RejectCode, refuse};
use super::{Area, Message};
use crate::link::Role;
use grid::DeviceId;

const TOPIC_BYTES_MAX: usize = 512;

#[derive(Debug, PartialEq)]
pub(super) enum Topic<'a> {
    Telemetry { last_level: &'a str },
    Report(DeviceId),
    Status(DeviceId),
    Activation(DeviceId),
}

pub(super) fn parse(topic: &str) -> Result<Topic<'_>, Refusal> {
    if topic.len() > TOPIC_BYTES_MAX {
        return refuse(RejectCode::Topic, format!("the topic has {} bytes", topic.len()));
    }
    let unknown = || {
        let known =
            "gridflex/<area>/telemetry/… or gridflex/<area>/device/<number>/report, status, activation";
        (RejectCode::Topic, format!("the topic is none of {known}"))
    };
    let mut levels = topic.split('/');
    if levels.next() != Some("gridflex") {
        return Err(unknown());
    }
    let area = levels.next().ok_or_else(unknown)?;
    grid::id::check_name(area).map_err(|error| (RejectCode::Topic, format!("area: {error}")))?;
    match levels.next() {
        Some("telemetry") => {
            levels.next_back().map(|last_level| Topic::Telemetry { last_level }).ok_or_else(unknown)
        }
        Some("device") => {
            let device = device(levels.next().ok_or_else(unknown)?)?;
            let kind = levels.next();
            if levels.next().is_some() {
                return Err(unknown());
            }
            match kind {
                Some("report") => Ok(Topic::Report(device)),
                Some("status") => Ok(Topic::Status(device)),
                Some("activation") => Ok(Topic::Activation(device)),
                _ => Err(unknown()),
            }
        }
        _ => Err(unknown()),
    }
}

fn device(text: &str) -> Result<DeviceId, Refusal> {
    // The canonical form only, so that one device has one topic.
    match text.parse::<u32>() {
        Ok(number) if number.to_string() == text => Ok(DeviceId(number)),
        _ => refuse(RejectCode::Topic, format!("{text:?} is not the number of a device")),
    }
}

/// The topic a message is sent on.
pub(super) fn of(area: &Area, message: &Message) -> String {
    match message {
        Message::Telemetry(values) => match values.as_slice() {
            [one] => format!("gridflex/{area}/telemetry/{}", one.point),
            _ => format!("gridflex/{area}/telemetry/batch"),
        },
        Message::Device(report) => format!("gridflex/{area}/device/{}/report", report.device),
        Message::Status(status) => format!("gridflex/{area}/device/{}/status", status.device),
        Message::Activation(order) => format!("gridflex/{area}/device/{}/activation", order.device),
    }
}

/// The topic filters one end subscribes to.
pub fn filters(area: &Area, role: Role) -> Vec<String> {
    match role {
        Role::System => vec![
            format!("gridflex/{area}/telemetry/#"),
            format!("gridflex/{area}/device/+/report"),
            format!("gridflex/{area}/device/+/status"),
        ],
        Role::Field => vec![format!("gridflex/{area}/device/+/activation")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topics_of_the_convention_are_read() {
        assert_eq!(
            parse("gridflex/demo/telemetry/x/bus.1.u.a"),
            Ok(Topic::Telemetry { last_level: "bus.1.u.a" })
        );
        assert_eq!(parse("gridflex/demo/device/12/report"), Ok(Topic::Report(DeviceId(12))));
        assert_eq!(parse("gridflex/demo/device/12/status"), Ok(Topic::Status(DeviceId(12))));
        assert_eq!(parse("gridflex/demo/device/12/activation"), Ok(Topic::Activation(DeviceId(12))));
    }

    #[test]
    fn other_topics_are_refused() {
        for bad in [
            "",
            "gridflex",
            "gridflex/demo",
            "gridflex/demo/telemetry",
            "gridflex//telemetry/x",
            "gridflex/a b/telemetry/x",
            "other/demo/telemetry/x",
            "gridflex/demo/device/12",
            "gridflex/demo/device/012/report",
            "gridflex/demo/device/+1/report",
            "gridflex/demo/device/12/report/x",
            "gridflex/demo/device/4294967296/report",
            "gridflex/demo/device/12/reboot",
        ] {
            assert!(parse(bad).is_err_and(|(code, _)| code == RejectCode::Topic), "{bad:?} was accepted");
        }
        assert!(parse(&format!("gridflex/demo/telemetry/{}", "x".repeat(600))).is_err());
    }
}
