use super::*;
use crate::network::{Bus, Line, Link, NetworkParts, Source, UsagePoint};

/// Source at 1; a ring 1-2-3-4-1 whose edge 41 is open; a lateral 3-5 with two usage points, and a switch 5-6.
///
/// ```text
/// (1)--12--2--23--3--34--4--41 open--(1)
///                 |
///                 35--5--56--6
/// ```
fn ring() -> Topology {
    let bus = |id| Bus { id: BusId(id), u_rated_v: 400.0, position_m: None };
    let line = |id, from, to, closed| Line {
        id: BranchId(id),
        from: BusId(from),
        to: BusId(to),
        r1_ohm: 0.1,
        x1_ohm: 0.1,
        r0_ohm: 0.1,
        x0_ohm: 0.1,
        to_closed: closed,
        ..Line::default()
    };
    let switch = Link { id: BranchId(56), from: BusId(5), to: BusId(6), from_closed: true, to_closed: true };
    let point = |id, at| UsagePoint {
        id: UsagePointId(id),
        bus: BusId(at),
        phase: None,
        p_specified_w: 0.0,
        q_specified_var: 0.0,
    };
    let parts = NetworkParts {
        buses: (1..=6).map(bus).collect(),
        lines: vec![
            line(12, 1, 2, true),
            line(23, 2, 3, true),
            line(34, 3, 4, true),
            line(41, 4, 1, false),
            line(35, 3, 5, true),
        ],
        links: vec![switch],
        sources: vec![Source { bus: BusId(1), ..Source::default() }],
        usage_points: vec![point(100, 5), point(101, 5), point(102, 4)],
        ..NetworkParts::default()
    };
    Topology::of(&Network::new(parts).unwrap())
}

fn ids(buses: &[BusId]) -> Vec<u32> {
    buses.iter().map(|bus| bus.0).collect()
}

fn switching(open: &[u32], close: &[u32]) -> Switching {
    let set = |ids: &[u32]| ids.iter().copied().map(BranchId).collect();
    Switching { open: set(open), close: set(close) }
}

#[test]
fn opening_a_switch_splits_the_islands() {
    let ring = ring();
    let as_it_is = Switching::default();
    assert_eq!(ring.switched(&as_it_is).islands().len(), 1);
    let opened = switching(&[23], &[]);
    let switched = ring.switched(&opened);
    let islands: Vec<_> = switched
        .islands()
        .iter()
        .map(|island| (island.first.0, island.buses, island.usage_points, island.fed))
        .collect();
    assert_eq!(islands, [(1, 2, 0, true), (3, 4, 3, false)]);
    assert_eq!((switched.island_of(BusId(6)), switched.island_of(BusId(7))), (Some(1), None));
    // The ring closed elsewhere holds them together.
    let moved = switching(&[23], &[41]);
    assert_eq!(ring.switched(&moved).islands().len(), 1);
}

#[test]
fn upstream_is_the_shortest_way_and_downstream_what_loses_its_supply() {
    let ring = ring();
    let as_it_is = Switching::default();
    let switched = ring.switched(&as_it_is);
    let way = |switched: &Switched, bus| {
        switched.upstream(BusId(bus)).map(|way| way.iter().map(|b| b.0).collect::<Vec<_>>())
    };
    assert_eq!(way(&switched, 6), Some(vec![56, 35, 23, 12]));
    assert_eq!(way(&switched, 1), Some(vec![]));
    assert_eq!(ids(&switched.downstream_of_edge(BranchId(23))), [3, 4, 5, 6]);
    assert_eq!(ids(&switched.downstream_of_edge(BranchId(41))), [] as [u32; 0]);
    assert_eq!(ids(&switched.downstream_of_bus(BusId(3))), [4, 5, 6]);
    assert_eq!(ids(&switched.downstream_of_bus(BusId(1))), [2, 3, 4, 5, 6]);
    let closed = switching(&[], &[41]);
    let meshed = ring.switched(&closed);
    assert_eq!(way(&meshed, 6), Some(vec![56, 35, 23, 12]));
    assert_eq!(way(&meshed, 4), Some(vec![41]));
    assert!(meshed.downstream_of_edge(BranchId(23)).is_empty(), "there is another way");
    assert_eq!(ids(&meshed.downstream_of_edge(BranchId(35))), [5, 6]);
    let cut = switching(&[35], &[]);
    assert_eq!(way(&ring.switched(&cut), 6), None);
}

#[test]
fn an_edge_with_one_open_end_joins_nothing() {
    let ring = ring();
    assert_eq!(ring.edge(BranchId(41)).unwrap().closed, [true, false]);
    let as_it_is = Switching::default();
    assert_eq!(ring.switched(&as_it_is).upstream(BusId(4)).unwrap().len(), 3);
}
