//! Small changes to a circuit in place: a tap moved, a capacitor switched, a load or a source set anew. Topology stays.

use super::element::Element;
use super::frame::Frame;
use super::{AppliancePlace, Assembly, AssemblyError, BranchPlace, appliances, coupled, transformer};
use crate::circuit::LoadPort;
use grid::BranchId;
use grid::network::{Capacitor, Load, Source, ThreeWindingTransformer, Transformer, WindingTransformer};
use num_complex::Complex64;

impl Assembly {
    /// Rebuilds a two-winding transformer after a change of its taps.
    ///
    /// # Errors
    /// [`AssemblyError::Topology`] when it is connected otherwise than before, and whatever its new values may cause.
    pub fn replace_transformer(&mut self, unit: &Transformer) -> Result<(), AssemblyError> {
        let element = self.framed(|frame| transformer::two_winding(frame, unit))?;
        self.put(unit.id, element)
    }

    /// Rebuilds a three-winding transformer after a change of its taps.
    ///
    /// # Errors
    /// As [`Assembly::replace_transformer`].
    pub fn replace_three_winding(&mut self, unit: &ThreeWindingTransformer) -> Result<(), AssemblyError> {
        let Some(star) = self.star_point(unit.id) else { return Ok(()) };
        let element = self.framed(|frame| transformer::three_winding(frame, unit, star))?;
        self.put(unit.id, element)
    }

    /// Rebuilds a transformer given winding by winding after a change of its taps.
    ///
    /// # Errors
    /// As [`Assembly::replace_transformer`].
    pub fn replace_winding_transformer(&mut self, unit: &WindingTransformer) -> Result<(), AssemblyError> {
        let element = self.framed(|frame| coupled::windings(frame, unit))?;
        self.put(unit.id, element)
    }

    /// Switches a capacitor, or gives it another rating.
    ///
    /// # Errors
    /// [`AssemblyError::Topology`] when there is no such capacitor.
    pub fn replace_capacitor(&mut self, bank: &Capacitor) -> Result<(), AssemblyError> {
        match self.appliances.get(&bank.id) {
            Some((bus, AppliancePlace::Shunt(place))) => {
                let (bus, place) = (*bus, *place as usize);
                self.circuit.shunts[place] = self.framed(|frame| appliances::capacitor(frame, bank, bus));
                Ok(())
            }
            Some((_, AppliancePlace::Off)) => Ok(()),
            _ => Err(AssemblyError::Topology { kind: "capacitor", id: bank.id }),
        }
    }

    /// Gives a load other powers; an open load takes none. A load that was open when the circuit was assembled stays so
    /// and can only be closed by assembling anew.
    ///
    /// # Errors
    /// [`AssemblyError::Topology`] when it has another number of branches than before, or is to be closed.
    pub fn replace_load(&mut self, load: &Load) -> Result<(), AssemblyError> {
        let wrong = AssemblyError::Topology { kind: "load", id: load.id };
        match self.appliances.get(&load.id) {
            Some((bus, AppliancePlace::Ports(ports))) => {
                let (bus, ports) = (*bus, ports.start as usize..ports.end as usize);
                let new = self.framed(|frame| appliances::load(frame, load, bus));
                if new.len() != ports.len() {
                    return Err(wrong);
                }
                let open = |port: LoadPort| LoadPort {
                    power: Complex64::ZERO,
                    current: Complex64::ZERO,
                    impedance: Complex64::ZERO,
                    ..port
                };
                let new = new.into_iter().map(|port| if load.closed { port } else { open(port) });
                self.circuit.ports[ports].iter_mut().zip(new).for_each(|(slot, port)| *slot = port);
                Ok(())
            }
            Some((bus, AppliancePlace::Off))
                if !load.closed || !self.circuit.buses[*bus as usize].energized =>
            {
                Ok(())
            }
            _ => Err(wrong),
        }
    }

    /// Gives a source another voltage or impedance.
    ///
    /// # Errors
    /// [`AssemblyError::Topology`] when it is switched.
    pub fn replace_source(&mut self, source: &Source) -> Result<(), AssemblyError> {
        match (self.appliances.get(&source.id), source.closed) {
            (Some((bus, AppliancePlace::Source(place))), true) => {
                let (bus, place) = (*bus, *place as usize);
                self.circuit.sources[place] = self.framed(|frame| appliances::source(frame, source, bus))?;
                Ok(())
            }
            (Some((_, AppliancePlace::Off)), false) => Ok(()),
            _ => Err(AssemblyError::Topology { kind: "source", id: source.id }),
        }
    }

    /// Buses and bases for the time of one call.
    fn framed<T>(&mut self, with: impl FnOnce(&Frame) -> T) -> T {
        let frame = Frame::take(self);
        let result = with(&frame);
        frame.give_back(self);
        result
    }

    fn put(&mut self, id: BranchId, element: Element) -> Result<(), AssemblyError> {
        let wrong = AssemblyError::Topology { kind: "transformer", id: id.0 };
        let Some(place) = self.branches.get(&id).cloned() else { return Err(wrong) };
        if self.put_at(&place, element) { Ok(()) } else { Err(wrong) }
    }

    /// Whether the element fits its place.
    fn put_at(&mut self, place: &BranchPlace, element: Element) -> bool {
        match (place, element) {
            (BranchPlace::Off, Element::Off) => true,
            (BranchPlace::Series(at), Element::Series(series)) => {
                self.circuit.series[*at as usize] = series;
                true
            }
            (BranchPlace::General(at, ends), Element::General(general, new_ends)) if *ends == new_ends => {
                self.circuit.general[*at as usize] = general;
                true
            }
            (BranchPlace::Star(places), Element::Star(arms)) => {
                places.iter().zip(arms).fold(true, |good, (place, arm)| self.put_at(place, arm) && good)
            }
            _ => false,
        }
    }

    /// Position of the star point of a three-winding transformer that is alive.
    fn star_point(&self, id: BranchId) -> Option<u32> {
        let Some(BranchPlace::Star(arms)) = self.branches.get(&id) else { return None };
        arms.iter().find_map(|arm| match arm {
            BranchPlace::Series(at) => Some(self.circuit.series[*at as usize].to),
            BranchPlace::General(at, ends) => {
                let terminal = (*ends.get(1)?)?;
                Some(self.circuit.general[*at as usize].terminals[usize::from(terminal)].0)
            }
            _ => None,
        })
    }
}
