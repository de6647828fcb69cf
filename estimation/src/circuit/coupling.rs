//! An n × n complex matrix over the wires of a bus, small when it is regular.

use nalgebra::DMatrix;
use num_complex::Complex64;

/// A symmetric matrix over the wires of a bus.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Coupling {
    /// Nothing.
    #[default]
    Zero,
    /// One value on the diagonal, one beside it: what sequence values give (`own = (z0 + 2 z1) / 3`,
    /// `mutual = (z0 − z1) / 3`). A single wire has `own` only.
    Even {
        /// On the diagonal.
        own: Complex64,
        /// Beside it.
        mutual: Complex64,
    },
    /// Anything.
    Full(Box<DMatrix<Complex64>>),
}

impl Coupling {
    /// From positive- and zero-sequence values.
    pub fn from_sequence(positive: Complex64, zero: Complex64) -> Self {
        Coupling::Even { own: (zero + positive * 2.0) / 3.0, mutual: (zero - positive) / 3.0 }
    }

    /// One entry.
    pub fn at(&self, row: usize, column: usize) -> Complex64 {
        match self {
            Coupling::Zero => Complex64::ZERO,
            Coupling::Even { own, mutual } => {
                if row == column {
                    *own
                } else {
                    *mutual
                }
            }
            Coupling::Full(matrix) => matrix[(row, column)],
        }
    }

    /// As a matrix of `wires` rows.
    pub fn to_matrix(&self, wires: usize) -> DMatrix<Complex64> {
        DMatrix::from_fn(wires, wires, |row, column| self.at(row, column))
    }

    /// Adds another.
    pub fn plus(&self, other: &Self, wires: usize) -> Self {
        match (self, other) {
            (Coupling::Zero, one) | (one, Coupling::Zero) => one.clone(),
            (Coupling::Even { own: a, mutual: b }, Coupling::Even { own: c, mutual: d }) => {
                Coupling::Even { own: a + c, mutual: b + d }
            }
            _ => Coupling::Full(Box::new(self.to_matrix(wires) + other.to_matrix(wires))),
        }
    }
}
