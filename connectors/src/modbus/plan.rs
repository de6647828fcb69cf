//! Few requests that read all registers.

use super::tag::{Register, Table};

/// Most registers of one request, by the specification.
const REGISTERS_MAX: u16 = 125;
/// Registers read for nothing, at most, to save a request.
const GAP_MAX: u16 = 16;

/// One request, and which points it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub unit: u8,
    pub table: Table,
    pub address: u16,
    pub count: u16,
    /// Positions of the points in the list the plan was made for.
    pub points: Vec<usize>,
}

impl Request {
    fn of(point: usize, register: &Register) -> Self {
        let count = register.format.registers();
        Self {
            unit: register.unit,
            table: register.table,
            address: register.address,
            count,
            points: vec![point],
        }
    }

    /// Takes another one in, if one request can read both.
    fn take_in(&mut self, other: &Request) -> bool {
        if (self.unit, self.table) != (other.unit, other.table) || other.address < self.address {
            return false;
        }
        let end = u32::from(self.address) + u32::from(self.count);
        let other_end = u32::from(other.address) + u32::from(other.count);
        let count = end.max(other_end) - u32::from(self.address);
        if u32::from(other.address) > end + u32::from(GAP_MAX) || count > u32::from(REGISTERS_MAX) {
            return false;
        }
        self.count = count as u16;
        self.points.extend(&other.points);
        true
    }

    /// One request for each of its points: what is left when a server does not let them be read in one.
    pub fn singly(&self, registers: &[Register]) -> Vec<Request> {
        self.points.iter().map(|&point| Request::of(point, &registers[point])).collect()
    }
}

/// The requests for all registers, in the order of units, tables and addresses.
pub(super) fn plan(registers: &[Register]) -> Vec<Request> {
    let mut single: Vec<_> =
        registers.iter().enumerate().map(|(at, register)| Request::of(at, register)).collect();
    single.sort_by_key(|request| (request.unit, request.table, request.address, request.count));
    let mut requests: Vec<Request> = Vec::new();
    for request in single {
        if !requests.last_mut().is_some_and(|last| last.take_in(&request)) {
            requests.push(request);
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn registers(tags: &[&str]) -> Vec<Register> {
        tags.iter().map(|tag| tag.parse().unwrap()).collect()
    }

    #[test]
    fn neighbours_are_read_in_one_request() {
        let registers = registers(&[
            "1/input/20/u16",
            "1/input/0/f32",
            "1/holding/0/u16",
            "2/input/0/u16",
            "1/input/2/f32",
            "1/input/40/u16",
        ]);
        let plan = plan(&registers);
        let found: Vec<_> =
            plan.iter().map(|r| (r.unit, r.table, r.address, r.count, r.points.clone())).collect();
        assert_eq!(
            found,
            [
                (1, Table::Holding, 0, 1, vec![2]),
                (1, Table::Input, 0, 21, vec![1, 4, 0]),
                (1, Table::Input, 40, 1, vec![5]),
                (2, Table::Input, 0, 1, vec![3]),
            ]
        );
        assert_eq!(plan[1].singly(&registers).len(), 3);
    }

    proptest! {
        #[test]
        fn every_register_is_read_once_and_whole(found in proptest::collection::vec((1..3_u8, 0..300_u16, 0..3_usize), 0..80)) {
            let tags: Vec<String> = found.iter().map(|(unit, address, format)| format!("{unit}/input/{address}/{}", ["u16", "f32", "u64"][*format])).collect();
            let registers: Vec<Register> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
            let requests = plan(&registers);
            let mut points: Vec<usize> = requests.iter().flat_map(|request| request.points.clone()).collect();
            points.sort_unstable();
            prop_assert_eq!(points, (0..registers.len()).collect::<Vec<_>>());
            for request in &requests {
                prop_assert!(request.count <= REGISTERS_MAX);
                for &point in &request.points {
                    let register = &registers[point];
                    prop_assert_eq!((register.unit, register.table), (request.unit, request.table));
                    prop_assert!(register.address >= request.address);
                    prop_assert!(register.address + register.format.registers() <= request.address + request.count);
                }
            }
        }
    }
}
