//! Defaults, and every fault with its line.

use super::*;
use market::{AggregateRules, settlement::SettlementTerms};

fn parsed(text: &str) -> Result<SiteFile, Vec<Problem>> {
    parse(Path::new("sites/river.toml"), text)
}

#[test]
fn an_empty_file_listens_on_the_loopback_address_only() {
    let site = parsed("").unwrap();
    assert!(site.http.listen.value.ip().is_loopback() && site.mqtt.listen.value.ip().is_loopback());
    assert_eq!((site.name.value.as_str(), site.zone.as_str()), ("river", "UTC"));
    assert_eq!(site.network.value, Path::new("sites/network.json"));
    assert_eq!(site.data, Path::new("sites/data"));
    assert!(site.mqtt.tls.is_none() && site.mqtt.rights.is_none() && site.devices.is_empty());
}

#[test]
fn a_second_factor_is_wanted_where_others_reach_the_page_unless_the_file_says_otherwise() {
    let wanted = |http: &str| parsed(&format!("[http]\n{http}\n")).unwrap().http.second_factor;
    assert!(!wanted("") && !wanted("listen = \"[::1]:80\"") && wanted("listen = \"0.0.0.0:443\""));
    assert!(wanted("second_factor = true") && !wanted("listen = \"0.0.0.0:443\"\nsecond_factor = false"));
}

#[test]
fn what_is_written_is_read() {
    let site = parsed(
        "name = \"riverside\"\nnetwork = \"/srv/lv.json\"\n[mqtt]\nlisten = \"[::1]:8883\"\ncertificate = \"a.pem\"\nkey = \"a.key\"\n\
         [dso]\nvalue_eur_per_kwh = 0.25\n[[device]]\nnumber = 7\nprosumer = 1\nusage_point = 41\nkind = \"heat_pump\"\np_max_kw = 6\n",
    )
    .unwrap();
    assert_eq!(site.network.value, Path::new("/srv/lv.json"));
    assert_eq!(site.mqtt.tls.unwrap().value.certificate, Path::new("sites/a.pem"));
    assert_eq!(site.dso.value_per_kwh, Money(250_000));
    let device = &site.devices[0];
    assert_eq!(
        (device.value.id, device.value.kind, device.value.p_max_w),
        (DeviceId(7), DeviceKind::HeatPump, 6_000.0)
    );
    assert_eq!(device.line, 9);
}

#[test]
fn the_terms_of_contracts_are_said_in_the_file() {
    assert_eq!(parsed("").unwrap().market, Rules::default());
    let site = parsed(
        "[market]\npricing = \"uniform\"\nfee_percent = 1.5\npenalty_eur_per_kwh = 0.2\neach_member_by_itself = true\n\
         baseline = \"high-x-of-y\"\nbaseline_days = 10\nbaseline_highest_days = 3\nbaseline_adjustment_percent = 0\n",
    );
    let wanted = SettlementTerms {
        pricing: market::price_clearing::Pricing::Uniform,
        baseline: market::baseline::BaselineMethod::XOfY {
            x: 3,
            y: 10,
            adjustment_slots: 0,
            adjustment_max_per_mille: 0,
        },
        fee_per_mille: 15,
        penalty_per_kwh: Money(200_000),
        netting: false,
        ..SettlementTerms::default()
    };
    assert_eq!(site.unwrap().market.settlement, wanted);
    let weather = parsed(
        "[market]\nbaseline = \"weather-regression\"\nbaseline_days = 90\nbaseline_days_min = 20\n\
         baseline_heating_limit_celsius = 12.5\n",
    );
    let method = market::baseline::BaselineMethod::WeatherRegression {
        days_min: 20,
        days_max: 90,
        heating_limit_milli_celsius: 12_500,
    };
    assert_eq!(weather.unwrap().market.settlement.baseline, method);
    let bad =
        parsed("[market]\npricing = \"dear\"\nbaseline = \"high-x-of-y\"\nbaseline_days = 0\n").unwrap_err();
    let said: Vec<_> = bad.iter().map(|problem| (problem.line.unwrap(), problem.what.as_str())).collect();
    assert!(said[0].1.starts_with("market.pricing: \"dear\" is none of"), "{said:?}");
    assert_eq!(said[1], (4, "market.baseline_days: 0 is less than 1"));
}

#[test]
fn which_offers_are_sold_together_is_said_in_the_file() {
    let site = parsed(
        "[market]\naggregate_size_max = 200\naggregate_moving_size_max = 8\naggregate_start_slots = 4\n\
         aggregate_flexibility_slots = 2\naggregate_price_eur_per_kwh = 0.002\naggregate_loss_percent_max = 30\n\
         book_offers_max = 20000\n",
    );
    let aggregates = AggregateRules {
        members_max: 200,
        moving_members_max: 8,
        start_slots: 4,
        flexibility_slots: 2,
        price: Money(2_000),
        loss_percent_max: 30,
    };
    let wanted = Rules { aggregates, book_offers_max: 20_000, ..Rules::default() };
    assert_eq!(site.unwrap().market, wanted);
    let bad = parsed("[market]\naggregate_size_max = 0\naggregate_start_slots = 97\nbook_offers_max = 1.5\n");
    let said: Vec<_> =
        bad.unwrap_err().into_iter().map(|problem| (problem.line.unwrap(), problem.what)).collect();
    assert!(said.contains(&(2, "market.aggregate_size_max: 0 is less than 1".to_owned())), "{said:?}");
    assert!(said.iter().any(|(line, what)| *line == 3 && what.contains("aggregate_start_slots")), "{said:?}");
    assert!(said.iter().any(|(line, what)| *line == 4 && what.contains("no whole number")), "{said:?}");
}

#[test]
fn what_clients_of_the_mqtt_door_may_use_is_said_in_the_file() {
    let site = parsed("[mqtt]\nconnections_per_address_max = 20\nconnects_per_second = 5\n").unwrap();
    let limits = Limits { connections_per_peer_max: 20, connects_per_second: 5, ..Limits::default() };
    assert_eq!(site.mqtt.limits, limits);
    let bad = parsed("[mqtt]\nsessions_per_identity_max = 0\npackets_per_second = 2.5\n").unwrap_err();
    let said: Vec<_> = bad.iter().map(|problem| (problem.line.unwrap(), problem.what.as_str())).collect();
    assert!(said.contains(&(2, "mqtt.sessions_per_identity_max: 0 would let nobody in")), "{said:?}");
    assert!(said.contains(&(3, "mqtt.packets_per_second: 2.5 is no whole number")), "{said:?}");
}

#[test]
fn sources_have_ranks_and_generators_are_registered() {
    let site = parsed(
        "[mqtt]\nrank = 3\n[dso]\nall_generators_registered = true\n[[generator]]\nusage_point = 41\np_max_kw = 5.5\n\
         [[modbus]]\nname = \"meters\"\nserver = \"127.0.0.1:502\"\npoints = \"m.csv\"\nrank = 2\n",
    )
    .unwrap();
    assert_eq!((site.mqtt.rank, site.modbus[0].rank), (3, 2));
    assert!(site.all_generators);
    assert_eq!(site.generators[0].value, (UsagePointId(41), 5_500.0));
    let empty = parsed("").unwrap();
    assert_eq!((empty.mqtt.rank, empty.all_generators), (2, false));
    let bad = parsed("[mqtt]\nrank = 1.5\n[[generator]]\np_max_kw = 0\n").unwrap_err();
    let said: Vec<_> = bad.iter().map(|problem| (problem.line.unwrap(), problem.what.as_str())).collect();
    assert_eq!(said[0], (2, "mqtt.rank: 1.5 is no whole number"));
    assert_eq!(said[1], (3, "generator 1.usage_point: is missing"));
    assert!(said[2].1.starts_with("generator 1.p_max_kw: 0 is not between"), "{said:?}");
}

#[test]
fn contracts_of_delegated_trading_are_read_and_every_fault_is_named() {
    use market::DelegatedContract;
    let site = parsed(
        "[[delegation]]\nprosumer = 3\nfrom = \"2026-12\"\nfixed_eur = 3\ntime_flex_eur_per_slot = 0.01\nenergy_flex_eur_per_kwh = 0.02\n\
         scheduling_eur = 0.03\nstart_eur_per_slot = 0.04\nenergy_eur_per_kwh = 0.000001\nimbalance_limit_kwh = 0.25\n\
         [[delegation]]\nprosumer = 4\nfrom = \"2027-01\"\n",
    )
    .unwrap();
    let [full, bare] = &site.delegations[..] else { panic!("{:?}", site.delegations) };
    let contract = DelegatedContract {
        fixed_reward: Money(3_000_000),
        time_flex_reward: Money(10_000),
        energy_flex_reward: Money(20_000),
        scheduling_fixed_reward: Money(30_000),
        scheduling_start_time_reward: Money(40_000),
        scheduling_energy_reward: Money(1),
        imbalance_limit: grid::EnergyMwh(250_000),
    };
    assert_eq!((full.value.prosumer, full.value.contract, full.line), (ProsumerId(3), contract, 1));
    let nothing = DelegatedContract { imbalance_limit: grid::EnergyMwh(100_000), ..Default::default() };
    assert_eq!((bare.value.from, bare.value.contract, bare.line), ("2027-01".parse().unwrap(), nothing, 11));
    let bad = parsed(
        "[[delegation]]\nfixed_eur = -1\nfrom = \"December\"\nstart_eur_per_slot = \"much\"\nrent = 1\n\
         [[delegation]]\nprosumer = 1.5\nenergy_eur_per_kwh = 1e9\n[[delegation]]\nprosumer = 1\nfrom = 2026\n",
    );
    let said: Vec<_> =
        bad.unwrap_err().into_iter().map(|problem| (problem.line.unwrap(), problem.what)).collect();
    let expected = [
        (1, "delegation 1.prosumer: is missing"),
        (2, "delegation 1.fixed_eur: -1 is not between"),
        (3, "delegation 1.from: \"December\" is no month"),
        (4, "delegation 1.start_eur_per_slot: \"much\" is not a number"),
        (5, "delegation 1.rent: no such key"),
        (6, "delegation 2.from: is missing"),
        (7, "delegation 2.prosumer: 1.5 is no whole number"),
        (8, "delegation 2.energy_eur_per_kwh: 1e9 is not between"),
        (11, "delegation 3.from: 2026 is not a text"),
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for ((line, what), (expected_line, start)) in said.iter().zip(expected) {
        assert!(
            *line == expected_line && what.starts_with(start),
            "{line}: {what}, expected {expected_line}: {start}"
        );
    }
}

#[test]
fn a_station_of_telecontrol_is_read_with_everything_that_can_be_said_of_it() {
    let site = parsed(
        "[[iec104]]\nname = \"rtu\"\nserver = \"192.0.2.7:2404\"\npoints = \"rtu.csv\"\n[[iec104]]\nname = \"gateway\"\n\
         server = \"192.0.2.8:19998\"\npoints = \"g.csv\"\nrank = 2\noriginator = 3\nperiod_s = 60\ncounter_period_s = 300\n\
         freeze_counters = true\nset_clock = true\nutc_offset_min = 60\ntimeout_s = 5\nt1_s = 8\nt2_s = 4\nt3_s = 12\nk = 20\nw = 10\n\
         authority = \"ca.pem\"\ncertificate_name = \"rtu.example\"\ncertificate = \"own.pem\"\nkey = \"own.key\"\n",
    )
    .unwrap();
    let [rtu, gateway] = &site.iec104[..] else { panic!("{:?}", site.iec104) };
    assert_eq!((rtu.period, rtu.originator, rtu.set_clock, rtu.rank), (Duration::from_secs(25), 0, false, 1));
    assert!(rtu.tls.is_none() && rtu.timers == Timers::default() && !rtu.counters.freeze);
    assert_eq!((gateway.period, gateway.originator, gateway.set_clock), (Duration::from_secs(60), 3, true));
    assert_eq!((gateway.utc_offset_minutes, gateway.rank, gateway.counters.freeze), (60, 2, true));
    assert_eq!((gateway.timers.t1, gateway.timers.k, gateway.timers.w), (Duration::from_secs(8), 20, 10));
    let tls = gateway.tls.as_ref().unwrap();
    assert_eq!(tls.name.as_deref(), Some("rtu.example"));
    assert!(tls.own.as_ref().unwrap().1.ends_with("own.key"));
    let bad = parsed(
        "[[iec104]]\nname = \"rtu\"\nt1_s = 0\nk = 1.5\nutc_offset_min = 900\nport = 5\n[[iec104]]\nname = \"g\"\nserver = \"a:1\"\n\
         points = \"g.csv\"\nkey = \"own.key\"\n[[iec104]]\nname = \"h\"\nserver = \"a:1\"\npoints = \"g.csv\"\nauthority = \"ca.pem\"\nkey = \"own.key\"\n",
    );
    let said: Vec<_> =
        bad.unwrap_err().into_iter().map(|problem| (problem.line.unwrap(), problem.what)).collect();
    let expected = [
        (1, "iec104 1.server: is missing"),
        (1, "iec104 1.points: is missing"),
        (3, "iec104 1.t1_s: 0 is not between"),
        (4, "iec104 1.k: 1.5 is no whole number"),
        (5, "iec104 1.utc_offset_min: 900 is not between"),
        (6, "iec104 1.port: no such key"),
        (11, "iec104 2.authority: is missing"),
        (17, "iec104 3.certificate: certificate and key belong together"),
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for ((line, what), (expected_line, start)) in said.iter().zip(expected) {
        assert!(
            *line == expected_line && what.starts_with(start),
            "{line}: {what}, expected {expected_line}: {start}"
        );
    }
}

#[test]
fn every_fault_is_named_with_its_line() {
    let problems = parsed(
        "name = 5\ncolour = \"red\"\n[http]\nlisten = \"everywhere\"\n[mqtt]\nkey = \"a.key\"\nuser = 1\n[dso]\nplanning_limit = 7\n\
         [[device]]\nnumber = 1.5\nkind = \"kettle\"\nprosumer = -1\np_max_kw = \"much\"\n[[modbus]]\nname = \"meters\"\nperiod_s = 0\n",
    )
    .unwrap_err();
    let said: Vec<_> =
        problems.iter().map(|problem| (problem.line.unwrap(), problem.what.as_str())).collect();
    let expected = [
        (1, "name: 5 is not a text"),
        (2, "colour: no such key; known are name, network"),
        (4, "http.listen: \"everywhere\" is no address"),
        (6, "mqtt.certificate: certificate and key belong together"),
        (7, "mqtt.user: no such key"),
        (9, "dso.planning_limit: 7 is not between"),
        (10, "device 1.usage_point: is missing"),
        (11, "device 1.number: 1.5 is no whole number"),
        (12, "device 1.kind: \"kettle\" is none of"),
        (13, "device 1.prosumer: -1 is not between"),
        (14, "device 1.p_max_kw: \"much\" is not a number"),
        (15, "modbus 1.server: is missing"),
        (15, "modbus 1.points: is missing"),
        (17, "modbus 1.period_s: 0 is not between"),
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for ((line, what), (expected_line, start)) in said.iter().zip(expected) {
        assert!(
            *line == expected_line && what.starts_with(start),
            "{line}: {what}, expected {expected_line}: {start}"
        );
    }
    assert!(problems[0].to_string().starts_with("sites/river.toml:1: name"));
}

#[test]
fn what_is_no_toml_is_named_with_its_line_and_the_rest_is_read() {
    let problems = parsed("name = \"a\"\nzone = = 1\n[http]\nlisten = 3\n").unwrap_err();
    let lines: Vec<_> = problems.iter().filter_map(|problem| problem.line).collect();
    assert!(lines.contains(&2) && lines.contains(&4), "{problems:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let problems = read(Path::new("/no/such/site.toml")).unwrap_err();
    assert!(problems[0].to_string().starts_with("/no/such/site.toml: it cannot be read"));
}

#[test]
fn prices_of_transfer_are_read_by_time_of_day_and_every_fault_is_named() {
    let site = parsed(
        "[[transfer_price]]\nbranch = 7\nfrom = \"16:15\"\nuntil = \"19:00\"\neur_per_kwh = 0.05\n\
         [[transfer_price]]\nbranch = 7\nfrom = \"23:45\"\nuntil = \"00:15\"\neur_per_kwh = 0.01\n\
         [[transfer_price]]\nbranch = 8\neur_per_kwh = 0.02\n",
    )
    .unwrap();
    let (prices, twice) = super::transfer::prices(&site.transfer);
    assert_eq!(twice, []);
    let price = |branch, time| prices.per_kwh.get(&(grid::BranchId(branch), time)).map(|price| price.0);
    let found = [(7, 64), (7, 65), (7, 75), (7, 76), (7, 95), (7, 0), (7, 1)]
        .map(|(branch, time)| price(branch, time));
    assert_eq!(found, [None, Some(50_000), Some(50_000), None, Some(10_000), Some(10_000), None]);
    assert_eq!((0..96).filter(|&time| price(8, time) == Some(20_000)).count(), 96);
    let bad = parsed(
        "[[transfer_price]]\nfrom = \"16:10\"\neur_per_kwh = -1\nuntil = \"24:15\"\n\
         [[transfer_price]]\nbranch = 1\nfrom = \"08:00\"\nuntil = \"08:00\"\neur_per_kwh = 1\n",
    );
    let said: Vec<_> =
        bad.unwrap_err().into_iter().map(|problem| (problem.line.unwrap(), problem.what)).collect();
    let expected = [
        (1, "transfer_price 1.branch: is missing"),
        (2, "transfer_price 1.from: \"16:10\" is no quarter-hour"),
        (3, "transfer_price 1.eur_per_kwh: -1 is not between"),
        (4, "transfer_price 1.until: \"24:15\" is no quarter-hour"),
        (5, "transfer_price 2.until: is the same time as from"),
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for ((line, what), (wanted, start)) in said.iter().zip(expected) {
        assert!(*line == wanted && what.starts_with(start), "{line}: {what}");
    }
}
