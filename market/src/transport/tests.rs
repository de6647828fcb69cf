use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Row {
    cells: Vec<(u32, i64)>,
    least: i64,
    most: i64,
}

fn transport(rows: &[Row]) -> Transport {
    let mut problem = Transport::default();
    rows.iter().for_each(|row| problem.push_row(row.cells.iter().copied(), row.least, row.most));
    problem
}

/// Checks an answer from the outside: rooms, row bounds, columns.
fn assert_exact(rows: &[Row], need: &[i64], carried: &[i64]) {
    let (mut cell, mut columns) = (0, vec![0; need.len()]);
    for row in rows {
        let mut sum = 0;
        for &(column, room) in &row.cells {
            assert!((0..=room).contains(&carried[cell]));
            columns[column as usize] += carried[cell];
            sum += carried[cell];
            cell += 1;
        }
        assert!((row.least..=row.most).contains(&sum));
    }
    assert_eq!(columns, need);
}

/// Σ over rows of the most (or least) that can be carried into a set of columns, in closed form.
fn reach(rows: &[Row], inside: impl Fn(u32) -> bool) -> (i64, i64) {
    let (mut least, mut most) = (0, 0);
    for row in rows {
        let within: i64 = row.cells.iter().filter(|(c, _)| inside(*c)).map(|(_, room)| room).sum();
        let without: i64 = row.cells.iter().filter(|(c, _)| !inside(*c)).map(|(_, room)| room).sum();
        least += (row.least - without).max(0);
        most += within.min(row.most);
    }
    (least, most)
}

#[test]
fn a_row_gives_way_along_a_path() {
    // Row 0 can use both columns, row 1 only column 0, row 2 only column 1.
    let rows = [
        Row { cells: vec![(0, 5), (1, 5)], least: 5, most: 5 },
        Row { cells: vec![(0, 5)], least: 5, most: 5 },
        Row { cells: vec![(1, 5)], least: 0, most: 1 },
    ];
    assert_exact(&rows, &[5, 6], &transport(&rows).solve(&[5, 6]).unwrap());
    let refused = transport(&rows).solve(&[4, 6]).unwrap_err();
    assert_eq!(refused, NoFlow { columns: vec![0], too_much: false });
    let refused = transport(&rows).solve(&[5, 7]).unwrap_err();
    assert!(refused.too_much);
}

#[test]
fn nothing_asked_of_nobody_is_fine() {
    assert_eq!(Transport::default().solve(&[]).unwrap(), Vec::<i64>::new());
    assert_eq!(Transport::with_capacity(0, 0).solve(&[0]).unwrap(), Vec::<i64>::new());
    assert!(Transport::default().solve(&[1]).is_err());
    assert!(Transport::default().solve(&[-1]).is_err());
}

const COLUMNS: u32 = 4;

fn any_row() -> impl Strategy<Value = Row> {
    (proptest::collection::vec((0..COLUMNS, 0_i64..12), 0..5), 0_i64..20, 0_i64..20).prop_map(
        |(cells, a, b)| {
            let mut cells = cells;
            cells.sort_unstable();
            cells.dedup_by_key(|cell| cell.0);
            let room: i64 = cells.iter().map(|cell| cell.1).sum();
            Row { cells, least: a.min(b).min(room), most: a.max(b).min(room) }
        },
    )
}

proptest! {
    /// The cut condition decides: an answer exists exactly when every set of columns asks for no less than rows
    /// must place in it and no more than they can bring.
    #[test]
    fn an_answer_is_found_exactly_when_one_exists(
        rows in proptest::collection::vec(any_row(), 0..6),
        need in proptest::collection::vec(0_i64..25, COLUMNS as usize),
    ) {
        let asked = |set: u32| -> i64 {
            (0..COLUMNS).filter(|c| set >> c & 1 == 1).map(|c| need[c as usize]).sum()
        };
        let possible = (0..1_u32 << COLUMNS).all(|set| {
            let (least, most) = reach(&rows, |column| set >> column & 1 == 1);
            (least..=most).contains(&asked(set))
        });
        match transport(&rows).solve(&need) {
            Ok(carried) => {
                assert_exact(&rows, &need, &carried);
                prop_assert!(possible);
            }
            Err(NoFlow { columns, too_much }) => {
                prop_assert!(!possible);
                let set: u32 = columns.iter().map(|column| 1 << column).sum();
                let (least, most) = reach(&rows, |column| set >> column & 1 == 1);
                let broken = if too_much { asked(set) > most } else { asked(set) < least };
                prop_assert!(broken);
            }
        }
    }
}
