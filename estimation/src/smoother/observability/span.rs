//! Linear spaces as orthonormal vectors, and the solutions of homogeneous equations, both by Gram–Schmidt with the
//! longest vector first (Golub & Van Loan 2013, section 5.4.2).

/// What is shorter counts as nothing. Vectors and equations have a length of about one, and what is rounding is 1e-13;
/// between them lies what losses alone tell, such as a voltage from the power at both ends of a line. On 20,000 random
/// networks anything from 1e-8 to 1e-5 gives the same.
const NOTHING: f64 = 1e-6;

/// A space, by orthonormal vectors of `D` numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span<const D: usize>(Vec<[f64; D]>);

impl<const D: usize> Span<D> {
    /// All that these vectors reach.
    pub fn of(vectors: Vec<[f64; D]>) -> Self {
        let mut span = Self(Vec::new());
        span.take(vectors, usize::MAX);
        span
    }

    /// The vectors over these coordinates that solve every equation `row · x = 0`.
    pub fn solving(rows: Vec<[f64; D]>, coordinates: &[usize]) -> Self {
        Self::of(rows).complement(coordinates)
    }

    /// The vectors over these coordinates that are orthogonal to all of this.
    pub fn complement(&self, coordinates: &[usize]) -> Self {
        let mut units: Vec<[f64; D]> = coordinates.iter().map(|&at| unit(at)).collect();
        units.iter_mut().for_each(|vector| self.leave(vector));
        let mut found = Self(self.0.clone());
        found.take(units, coordinates.len().saturating_sub(self.0.len()));
        found.0.drain(..self.0.len());
        found
    }

    pub fn vectors(&self) -> &[[f64; D]] {
        &self.0
    }

    pub fn dimension(&self) -> usize {
        self.0.len()
    }

    /// What is left of a vector beside this space.
    pub fn leave(&self, vector: &mut [f64; D]) {
        for known in &self.0 {
            subtract(dot(known, vector), known, vector);
        }
    }

    /// Adds the directions of vectors that are orthogonal to what is there, `most` at most, the longest first.
    fn take(&mut self, mut vectors: Vec<[f64; D]>, most: usize) {
        for _ in 0..most.min(vectors.len()) {
            let lengths = vectors.iter().map(|vector| dot(vector, vector));
            let longest = lengths.enumerate().max_by(|one, other| one.1.total_cmp(&other.1));
            let Some((at, square)) = longest.filter(|(_, square)| *square > NOTHING * NOTHING) else { break };
            let mut next = vectors.swap_remove(at);
            scale(1.0 / square.sqrt(), &mut next);
            // Twice is enough (Giraud et al. 2005).
            self.leave(&mut next);
            let length = dot(&next, &next).sqrt();
            scale(1.0 / length, &mut next);
            vectors.iter_mut().for_each(|vector| subtract(dot(&next, vector), &next, vector));
            self.0.push(next);
        }
    }
}

fn unit<const D: usize>(at: usize) -> [f64; D] {
    let mut unit = [0.0; D];
    unit[at] = 1.0;
    unit
}

/// x · y. `D` is a multiple of four; four sums, so that the compiler may use vectors.
#[inline(always)]
fn dot<const D: usize>(x: &[f64; D], y: &[f64; D]) -> f64 {
    let mut sums = [0.0; 4];
    for at in 0..D {
        sums[at % 4] += x[at] * y[at];
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

#[inline(always)]
fn scale<const D: usize>(by: f64, x: &mut [f64; D]) {
    for at in 0..D {
        x[at] *= by;
    }
}

/// y −= s x
#[inline(always)]
fn subtract<const D: usize>(s: f64, x: &[f64; D], y: &mut [f64; D]) {
    for at in 0..D {
        y[at] -= s * x[at];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_has_as_many_vectors_as_directions() {
        let span =
            Span::of(vec![[1.0, 2.0, 0.0, 0.0], [2.0, 4.0, 0.0, 0.0], [0.0, 0.0, 1e-3, 0.0], [0.0; 4]]);
        assert_eq!(span.dimension(), 2);
        let mut inside = [3.0, 6.0, -1.0, 0.0];
        span.leave(&mut inside);
        assert!(dot(&inside, &inside) < 1e-28);
    }

    #[test]
    fn solutions_fulfil_the_equations_and_fill_the_rest() {
        let rows = vec![[1.0, 1.0, 0.0, 0.0], [0.0, 1e-4, 1.0, 0.0], [1.0, 1.0 + 1e-4, 1.0, 0.0]];
        let solutions = Span::solving(rows.clone(), &[0, 1, 2]);
        assert_eq!(solutions.dimension(), 1);
        for row in rows {
            assert!(dot(&row, &solutions.vectors()[0]).abs() < 1e-14);
        }
        assert_eq!(Span::<4>::solving(Vec::new(), &[0, 3]).dimension(), 2);
    }
}
