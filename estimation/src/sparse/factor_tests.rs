use super::factor::Factor;
use super::symbolic::Symbolic;
use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;
use proptest::prelude::*;

/// A random matrix of blocks on a random graph: block sizes, edges, values (some of them zero).
fn case() -> impl Strategy<Value = (Vec<u32>, Vec<(u32, u32)>, Vec<f64>)> {
    (prop::collection::vec(1..4_u32, 1..9), prop::collection::vec((0..9_u32, 0..9_u32), 0..14)).prop_flat_map(
        |(sizes, edges)| {
            let block_of: Vec<u32> = sizes
                .iter()
                .enumerate()
                .flat_map(|(block, &size)| (0..size).map(move |_| block as u32))
                .collect();
            let blocks = sizes.len() as u32;
            let mut pairs: Vec<(u32, u32)> = (0..blocks).map(|b| (b, b)).collect();
            pairs.extend(edges.iter().map(|&(a, b)| (a % blocks, b % blocks)));
            let mut positions = Vec::new();
            for (a, b) in pairs {
                for (row, &at) in block_of.iter().enumerate() {
                    for (column, &to) in block_of.iter().enumerate() {
                        if (at, to) == (a, b) {
                            positions.push((row as u32, column as u32));
                        }
                    }
                }
            }
            let values =
                prop::collection::vec(prop_oneof![2 => Just(0.0), 5 => -1.0..1.0_f64], positions.len());
            (Just(block_of), Just(positions), values)
        },
    )
}

fn dense(size: usize, positions: &[(u32, u32)], values: &[f64]) -> DMatrix<f64> {
    let mut matrix = DMatrix::zeros(size, size);
    for (&(row, column), value) in positions.iter().zip(values) {
        matrix[(row as usize, column as usize)] += value;
    }
    matrix
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn solutions_are_those_of_a_dense_factor((block_of, positions, values) in case()) {
        let matrix = dense(block_of.len(), &positions, &values);
        let singular = matrix.clone().svd(false, false).singular_values;
        let plan = Symbolic::new(&block_of, positions);
        let mut factor = Factor::default();
        let lost = factor.factorize(&plan, &values).unwrap().len();
        let open = singular.iter().filter(|&&value| value < 1e-10).count();
        // Between the two, rank is a matter of taste.
        prop_assume!(singular.iter().all(|&value| !(1e-10..1e-6).contains(&value)));
        prop_assert_eq!(lost, open);
        if lost == 0 {
            let truth = DVector::from_fn(block_of.len(), |row, _| (row as f64 + 1.0).sin());
            let mut found: Vec<f64> = (&matrix * &truth).iter().copied().collect();
            factor.solve(&mut found);
            prop_assert!((DVector::from_vec(found) - truth).amax() < 1e-7);
        }
    }

    #[test]
    fn what_is_left_open_is_zero_and_the_rest_solves((block_of, positions, values) in case()) {
        let matrix = dense(block_of.len(), &positions, &values);
        let singular = matrix.clone().svd(false, false).singular_values;
        prop_assume!(singular.iter().all(|&value| !(1e-10..1e-4).contains(&value)));
        let plan = Symbolic::new(&block_of, positions);
        let mut factor = Factor::default();
        let lost = factor.factorize(&plan, &values).unwrap().to_vec();
        let truth = DVector::from_fn(block_of.len(), |row, _| (row as f64 + 1.0).sin());
        let right = &matrix * truth;
        let mut found: Vec<f64> = right.iter().copied().collect();
        factor.solve(&mut found);
        for &unknown in &lost {
            prop_assert_eq!(found[unknown as usize], 0.0);
        }
        prop_assert!((&matrix * DVector::from_vec(found) - right).amax() < 1e-7);
    }
}

#[test]
fn a_complex_matrix_of_any_scale_solves() {
    let block_of = [0, 0, 1, 2];
    let positions: Vec<(u32, u32)> =
        vec![(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (3, 3)];
    let scales = [1e-8, 1.0, 1e9, 1e4];
    let values: Vec<Complex64> = positions
        .iter()
        .enumerate()
        .map(|(k, &(row, column))| {
            let size = scales[row as usize] * scales[column as usize];
            Complex64::new((k as f64).cos() + f64::from(u8::from(row == column)) * 2.0, (k as f64).sin())
                * size
        })
        .collect();
    let plan = Symbolic::new(&block_of, positions.clone());
    let mut factor = Factor::default();
    assert_eq!(factor.factorize(&plan, &values), Some(&[][..]));
    let truth: Vec<Complex64> =
        (0..4).map(|k| Complex64::new(1.0 + f64::from(k), -2.0) / scales[k as usize]).collect();
    let mut found = vec![Complex64::ZERO; 4];
    for (&(row, column), value) in positions.iter().zip(&values) {
        found[row as usize] += value * truth[column as usize];
    }
    factor.solve(&mut found);
    for (found, truth) in found.iter().zip(&truth) {
        assert!((found - truth).norm() < 1e-12 * truth.norm(), "{found} {truth}");
    }
}

#[test]
fn a_value_that_is_no_number_is_refused() {
    let plan = Symbolic::new(&[0], vec![(0, 0)]);
    assert_eq!(Factor::default().factorize(&plan, &[f64::NAN]), None);
}
