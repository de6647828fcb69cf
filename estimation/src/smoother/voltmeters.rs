//! The voltmeters of a bus, all wires at once.

use super::core::Core;
use super::dense::{Arithmetic, HALF, Half, Vector, halves, joined};
use super::lines::NONE;
use super::meters::Says;

/// Magnitudes measured at a bus, by wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voltmeters {
    /// First and last (excluded) of its meters.
    meters: (u32, u32),
    /// One by the variance; zero where nothing is measured.
    weight: Half,
    /// What they read; zero where nothing is measured.
    value: Half,
    /// The voltage at the standing, and the gradient by it.
    v: Vector,
    before: Vector,
}

impl Voltmeters {
    /// Of the first meters of a position and their gradients; `None` when they measure more than one magnitude per wire, or angles.
    fn of<const N: usize>(core: &Core<N>, position: usize, pulls: &[[f64; 2]]) -> Option<Self> {
        let meters = core.meters_at(position);
        let mut all = Self {
            meters: (meters.start as u32, meters.end as u32),
            weight: [0.0; HALF],
            value: [0.0; HALF],
            v: core.v[position],
            before: [0.0; 2 * HALF],
        };
        for at in meters {
            let (meter, k) = (&core.meters[at], usize::from(core.meters[at].wire));
            if meter.says != Says::Magnitude || all.weight[k] != 0.0 {
                return None;
            }
            all.weight[k] = 1.0 / meter.variance;
            (all.before[k], all.before[k + HALF]) = (pulls[at][0], pulls[at][1]);
        }
        Some(all)
    }

    /// Of every bus, by the number of its first meter; `None` for all other meters.
    pub fn all<const N: usize>(core: &Core<N>, pulls: &[[f64; 2]]) -> Vec<Option<Self>> {
        let mut all = vec![None; core.meters.len()];
        for (position, place) in core.place.iter().enumerate().filter(|(_, place)| place.meter != NONE) {
            all[place.meter as usize] = Self::of(core, position, pulls);
        }
        all
    }

    /// Takes over what the meters read.
    pub fn read<const N: usize>(&mut self, core: &Core<N>) {
        for at in self.meters.0..self.meters.1 {
            let meter = &core.meters[at as usize];
            self.value[usize::from(meter.wire)] = meter.value;
        }
    }

    /// The gradient by the voltage, from that at the standing: of `(value − |V|)²` by its variance.
    #[inline(always)]
    pub fn pull<K: Arithmetic>(&self, kit: K, moved: &Vector) -> Vector {
        let ((x, y), (re, im)) = (halves(&kit.add_wide(&self.v, moved)), halves(&self.before));
        // Pad lanes have no voltage: they get a tiny one.
        let square = kit.fma4(x, x, kit.fma4(y, y, kit.splat4(f64::MIN_POSITIVE)));
        let share = kit.sub4(kit.div4(self.value, kit.sqrt4(square)), kit.splat4(1.0));
        let scale = kit.mul4(self.weight, share);
        joined((kit.sub4(kit.mul4(scale, x), re), kit.sub4(kit.mul4(scale, y), im)))
    }

    /// Asks the memory for all of it.
    #[inline(always)]
    pub fn fetch<K: Arithmetic>(&self, kit: K) {
        kit.fetch(&self.weight);
        kit.fetch(&self.v);
        kit.fetch(&self.before);
        kit.fetch(&self.before[HALF + 3]);
    }
}
