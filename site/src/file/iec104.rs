//! `[[iec104]]`.

use super::Iec104Section;
use super::section::Section;
use actors::grid_side::Ranks;
use connectors::iec104::{CounterReading, Iec104Config, Timers, TlsFiles};
use std::time::Duration;

pub fn source(mut section: Section<'_>) -> Option<Iec104Section> {
    let name = section.needed("name", Section::text);
    let server = section.needed("server", Section::text);
    let points = section.needed("points", Section::path);
    let default = Iec104Config::new("", "", Vec::new());
    let originator = section.whole("originator", 255).map_or(default.originator, |number| number.value as u8);
    let period = seconds(&mut section, "period_s", 900.0, default.period);
    let counters = CounterReading {
        period: seconds(&mut section, "counter_period_s", 900.0, default.counters.period),
        freeze: section.flag("freeze_counters"),
    };
    let set_clock = section.flag("set_clock");
    let offset = section.number("utc_offset_min", -840.0..=840.0);
    let utc_offset_minutes = offset.map_or(default.utc_offset_minutes, |minutes| {
        if minutes.value.fract() != 0.0 {
            section.note(minutes.line, "utc_offset_min", format!("{} is no whole number", minutes.value));
        }
        minutes.value as i32
    });
    let timers = timers(&mut section, default.timers);
    let tls = tls(&mut section);
    let (rank, uncertified) = super::trust(&mut section, Ranks::NAMED);
    section.finish();
    Some(Iec104Section {
        rank,
        uncertified,
        name: name?,
        server: server?,
        points: points?,
        originator,
        period,
        counters,
        set_clock,
        utc_offset_minutes,
        timers,
        tls,
    })
}

fn seconds(section: &mut Section<'_>, key: &'static str, most: f64, default: Duration) -> Duration {
    section.number(key, 0.1..=most).map_or(default, |seconds| Duration::from_secs_f64(seconds.value))
}

fn timers(section: &mut Section<'_>, default: Timers) -> Timers {
    let mut window = |key, default| section.whole(key, 32_767).map_or(default, |number| number.value as u16);
    let (k, w) = (window("k", default.k), window("w", default.w));
    Timers {
        t0: seconds(section, "timeout_s", 60.0, default.t0),
        t1: seconds(section, "t1_s", 255.0, default.t1),
        t2: seconds(section, "t2_s", 255.0, default.t2),
        t3: seconds(section, "t3_s", 172_800.0, default.t3),
        k,
        w,
    }
}

/// With an authority the connection is encrypted; the other keys mean nothing without.
pub fn tls(section: &mut Section<'_>) -> Option<TlsFiles> {
    let authority = section.path("authority");
    let name = section.text("certificate_name");
    let (certificate, key) = (section.path("certificate"), section.path("key"));
    let Some(authority) = authority else {
        let lines =
            [certificate.map(|path| path.line), key.map(|path| path.line), name.map(|name| name.line)];
        if let Some(line) = lines.into_iter().flatten().next() {
            section.note(
                line,
                "authority",
                "is missing: name the file of the authority that signed the station's certificate",
            );
        }
        return None;
    };
    let own = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate.value, key.value)),
        (None, None) => None,
        (one, other) => {
            let line = one.or(other).map_or(section.line(), |path| path.line);
            section.note(line, "certificate", "certificate and key belong together; one is missing");
            None
        }
    };
    Some(TlsFiles { authority: authority.value, name: name.map(|name| name.value), own })
}
