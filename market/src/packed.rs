//! How facts are packed ([`grid::packed`]): the fields in the order they are written, the numbers of choices.
//!
//! Journals are kept for ever, so nothing here is ever changed or renumbered. A fact that comes to say more gets a new
//! number, and its old one goes on being read.

use crate::activation::{Activation, ActivationStatus};
use crate::baseline::{Baseline, BaselineMethod};
use crate::bid::{BidInterval, Carried, CongestionPoint, DomsBid, Need, ZoneId};
use crate::clearing::{PriceOf, RoundProof, RoundRecord, RowPrice};
use crate::contract::{AggregatedFlexOffer, Assignment, Contract};
use crate::delegated::{BillLine, DelegatedContract, Month, MonthlyBill, Reward};
use crate::event::{MarketEvent, RecordNumber};
use crate::flex_offer::{
    Acceptance, ActivationCost, DependencyRow, DeviationPrices, EnergyBounds, FlexOffer, Schedule,
    TariffRange, Terms, TradingMode,
};
use crate::grid_rows;
use crate::price_clearing::Pricing;
use crate::settlement::{Account, MeterReading, Posting, SettlementTerms, SlotPrice, SlotSettlement, cites};
use grid::packed;
use grid::packed::{Malformed, Packed};

packed!(enum MarketEvent {
    0 = OfferAccepted { offer, at },
    1 = OfferWithdrawn { offer, at },
    2 = OfferExpired { offer, at },
    3 = AggregateFormed { aggregate, at },
    4 = NeedPlaced { need, at },
    5 = Cleared { round },
    6 = ContractFormed { contract },
    7 = Assigned { contract, assignments, at },
    8 = BaselineFrozen { contract, offer, baseline, at },
    9 = ActivationIssued { activation, at },
    10 = ActivationAnswered { status, at },
    11 = MeterRead { reading },
    12 = DelegationAgreed { prosumer, from, contract, at },
    13 = BillIssued { bill, at },
    14 = Settled { settlement, at },
    15 = RoundCleared { round, proof },
    16 = OfferChanged { offer, at },
});

/// The numbers of the facts that most records are.
pub(crate) mod number {
    pub(crate) const ACTIVATION_ISSUED: u64 = 9;
    pub(crate) const ACTIVATION_ANSWERED: u64 = 10;
    pub(crate) const METER_READ: u64 = 11;
    pub(crate) const SETTLED: u64 = 14;
}

packed!(struct RecordNumber(0));
packed!(struct ZoneId(0));

// Offers.
packed!(struct EnergyBounds { min, max });
packed!(struct Schedule { start, energies });
packed!(struct DeviationPrices { decrease, increase });
packed!(struct FlexOffer {
    id, prosumer, usage_point, device, created_at, acceptance_before, assignment_before, start_after, start_before,
    slices, total_energy, default_schedule, prices, terms => said,
});
packed!(struct Terms {
    revision, mode, running_energy, dependencies, acceptance, exclusive_group, cost, tariffs,
});
packed!(enum TradingMode { 0 = Direct, 1 = Delegated });
packed!(enum Acceptance { 0 = Any, 1 = AtLeast { energy }, 2 = Block { deviation, factor_min_ppm } });
packed!(struct ActivationCost { activation, per_slot_shifted });
packed!(struct TariffRange { min, max });
packed!(struct DependencyRow { used_ppm, slice_ppm, limit });

// What is wanted and bought.
packed!(struct CongestionPoint { branch, phase });
packed!(struct BidInterval { schedule_change, price });
packed!(struct DomsBid { id, congestion_point, start, intervals });
packed!(struct Need { issued_at, contracts_seen, bids, rows => grid_rows });
packed!(struct RoundRecord { at, need_issued_at, offers, purchases, welfare, bound, objection });
packed!(struct Carried { point, share });
packed!(enum PriceOf { 0 = Bid, 1 = Headroom, 2 = Lump });
packed!(struct RowPrice { congestion_point, slot, of, price });
packed!(struct RoundProof { rule_set, offers, groups_sold, zones, transfer, book_sha256, prices, result_sha256 });
packed!(struct AggregatedFlexOffer {
    id, zone, members, assignment_before, start_after, start_before, slices, total_energy, default_schedule, prices,
});
packed!(struct Contract {
    id, number, aggregate, bids, schedule, deviation, zone, prices, cost, slot_prices, terms, formed_at,
});
packed!(struct SlotPrice { slot, nodal, bid });
packed!(struct SettlementTerms { pricing, baseline, fee_per_mille, penalty_per_kwh, rebound_per_kwh, netting });
packed!(enum Pricing { 0 = PayAsBid, 1 = Uniform, 2 = UniformMakeWhole });
packed!(struct Assignment { offer, schedule, deviation });

// What is ordered and delivered.
packed!(struct Activation { id, device, offer, contract, schedule, replaces_from });
packed!(struct ActivationStatus { activation, device, accepted, reason, at });
packed!(struct Baseline { method, version, frozen_at, start, energies });
packed!(enum BaselineMethod {
    0 = DeclaredSchedule,
    1 = XOfY { x, y, adjustment_slots, adjustment_max_per_mille },
    2 = WeatherRegression { days_min, days_max, heating_limit_milli_celsius },
});

// What is paid.
packed!(enum Account { 0 = Dso, 1 = Prosumer(prosumer), 2 = Aggregator, 3 = MarketFee });
packed!(struct Posting { account, amount });
packed!(struct SlotSettlement {
    contract, offer, slot, ordered, baseline, metered, quality, delivered, netted, rebound, postings, cites,
});
packed!(struct DelegatedContract {
    fixed_reward, time_flex_reward, energy_flex_reward, scheduling_fixed_reward, scheduling_start_time_reward,
    scheduling_energy_reward, imbalance_limit,
});
packed!(enum Reward {
    0 = Fixed, 1 = TimeFlex, 2 = EnergyFlex, 3 = SchedulingFixed, 4 = SchedulingStartTime, 5 = SchedulingEnergy,
});
packed!(struct BillLine { reward, amount, cites => cites });
packed!(struct MonthlyBill {
    prosumer, month, num_flex_offers, num_executed_flex_offers, total_time_flex, total_energy_flex,
    num_custom_schedule_activations, total_start_time_deviations, total_energy_deviations, execution_imbalance, lines,
    postings,
});

/// Added to the number of a quality where a source follows: readings without one are as they always were.
const SOURCED: u64 = 64;

impl Packed for MeterReading {
    fn pack(&self, bytes: &mut Vec<u8>) {
        let Self { device, slot, energy, quality, received_at, source } = self;
        device.pack(bytes);
        slot.pack(bytes);
        energy.pack(bytes);
        let number = *quality as u64 + if source.is_some() { SOURCED } else { 0 };
        number.pack(bytes);
        received_at.pack(bytes);
        if let Some(source) = source {
            source.pack(bytes);
        }
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let (device, slot, energy) = (Packed::unpack(bytes)?, Packed::unpack(bytes)?, Packed::unpack(bytes)?);
        let number = u64::unpack(bytes)?;
        let (is_sourced, number) = match number.checked_sub(SOURCED) {
            Some(number) => (true, number),
            None => (false, number),
        };
        if number >= SOURCED {
            return Err(Malformed("no such Quality"));
        }
        let mut alone = Vec::with_capacity(1);
        number.pack(&mut alone);
        let quality = Packed::unpack(&mut alone.as_slice())?;
        let received_at = Packed::unpack(bytes)?;
        let source = is_sourced.then(|| Packed::unpack(bytes)).transpose()?;
        Ok(Self { device, slot, energy, quality, received_at, source })
    }
}

impl Packed for Month {
    fn pack(&self, bytes: &mut Vec<u8>) {
        <(u16, u8)>::from(*self).pack(bytes);
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let (year, month) = Packed::unpack(bytes)?;
        Month::new(year, month).map_err(|_| Malformed("no such month"))
    }
}

/// The terms of an offer, one byte for a plain one.
mod said {
    use super::*;

    pub(super) fn pack(terms: &Terms, bytes: &mut Vec<u8>) {
        let plain = terms.is_plain();
        (!plain).pack(bytes);
        if !plain {
            terms.pack(bytes);
        }
    }

    pub(super) fn unpack(bytes: &mut &[u8]) -> Result<Terms, Malformed> {
        match Option::<Terms>::unpack(bytes)? {
            Some(terms) if terms.is_plain() => Err(Malformed("plain terms are said")),
            terms => Ok(terms.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grid::packed::{pack_whole, unpack_whole};
    use grid::{DeviceId, EnergyMwh, Quality, Slot, Timestamp};
    use proptest::prelude::*;

    fn reading(source: Option<&str>, quality: Quality) -> MeterReading {
        MeterReading {
            device: DeviceId(121),
            slot: Slot(1_965_170),
            energy: EnergyMwh(-1_850_000),
            quality,
            received_at: Timestamp::from_seconds(1_768_653_900),
            source: source.map(|name| grid::name::Name::new(name).unwrap()),
        }
    }

    #[test]
    fn a_reading_without_a_source_is_written_as_before_and_one_with_it_comes_back() {
        let MeterReading { device, slot, energy, quality, received_at, .. } =
            reading(None, Quality::Substituted);
        let before = pack_whole(&((device, (slot, energy)), (quality, received_at)));
        assert_eq!(pack_whole(&reading(None, Quality::Substituted)), before);
        for quality in [Quality::Measured, Quality::Substituted, Quality::Implausible] {
            for source in [None, Some("mqtt"), Some("a-connector-with-a-name-of-more-than-24-bytes")] {
                let written = reading(source, quality);
                assert_eq!(unpack_whole(&pack_whole(&written)), Ok(written));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_reading_of_one_form_or_none(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut rest = bytes.as_slice();
            if let Ok(reading) = MeterReading::unpack(&mut rest) {
                prop_assert_eq!(unpack_whole(&pack_whole(&reading)), Ok(reading));
            }
        }
    }
}
