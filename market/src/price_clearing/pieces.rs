//! What an interval's energy costs, as pieces on which a unit more gains the same. The starts of an offer reach the same intervals
//! with the same bounds again and again: the pieces are cut once for all of them.

use std::ops::Range;

const NONE: u32 = u32::MAX;

/// A stretch of an interval's energy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Piece {
    pub gain: f64,
    pub length: f64,
}

/// The pieces of one offer's intervals.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces {
    /// By interval: the newest of its cuts.
    heads: Vec<u32>,
    cuts: Vec<Cut>,
    pub all: Vec<Piece>,
    /// Where the pieces of an interval end, while it is cut.
    pub kinks: Vec<f64>,
}

/// An interval between two bounds, cut.
#[derive(Debug, Clone)]
struct Cut {
    bounds: (f64, f64),
    pieces: Range<usize>,
    /// The interval's cut before this one.
    next: u32,
}

impl Pieces {
    /// Forgets all, for an offer in `intervals` intervals.
    pub fn clear(&mut self, intervals: usize) {
        self.heads.clear();
        self.heads.resize(intervals, NONE);
        self.cuts.clear();
        self.all.clear();
    }

    /// Where the pieces of an interval between two bounds are, if it was cut there.
    pub fn find(&self, interval: usize, bounds: (f64, f64)) -> Option<Range<usize>> {
        let mut at = self.heads[interval];
        while at != NONE {
            let cut = &self.cuts[at as usize];
            if cut.bounds == bounds {
                return Some(cut.pieces.clone());
            }
            at = cut.next;
        }
        None
    }

    /// Keeps what was put at the end of `all` as the pieces of an interval between two bounds.
    pub fn keep(&mut self, interval: usize, bounds: (f64, f64), pieces: Range<usize>) {
        let next = std::mem::replace(&mut self.heads[interval], self.cuts.len() as u32);
        self.cuts.push(Cut { bounds, pieces, next });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_known_by_its_bounds_until_all_is_forgotten() {
        let mut pieces = Pieces::default();
        pieces.clear(3);
        assert_eq!(pieces.find(1, (0.0, 1.0)), None);
        pieces.keep(1, (0.0, 1.0), 0..2);
        pieces.keep(1, (-1.0, 1.0), 2..5);
        pieces.keep(2, (0.0, 1.0), 5..6);
        assert_eq!(pieces.find(1, (0.0, 1.0)), Some(0..2));
        assert_eq!(pieces.find(1, (-1.0, 1.0)), Some(2..5));
        assert_eq!(pieces.find(2, (0.0, 1.0)), Some(5..6));
        assert_eq!(pieces.find(0, (0.0, 1.0)), None);
        pieces.clear(3);
        assert_eq!(pieces.find(1, (0.0, 1.0)), None);
    }
}
