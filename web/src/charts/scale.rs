//! Where numbers stand along an axis, and at which of them it has a mark.

use super::Unit;

/// Lengths that people count in: seconds to days.
const LENGTHS: [f64; 20] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 10_800.0, 21_600.0,
    43_200.0, 86_400.0, 172_800.0, 432_000.0,
];

/// An axis from one number to another, through zero.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    /// The marks, from the least to the largest.
    pub(super) ticks: Vec<f64>,
    least: f64,
    most: f64,
}

impl Scale {
    /// An axis for these numbers, with some so many marks.
    pub(super) fn of(unit: &Unit, values: impl Iterator<Item = f64>, wanted: f64) -> Scale {
        let (mut least, mut most) = (0.0_f64, 0.0_f64);
        for value in values.filter(|value| value.is_finite()) {
            (least, most) = (least.min(value), most.max(value));
        }
        if least == most {
            most = 1.0;
        }
        let step = step(unit, (most - least) / wanted.max(1.0));
        let (first, last) = ((least / step).floor(), (most / step).ceil());
        let (mut ticks, mut at) = (Vec::new(), first);
        while at <= last && ticks.len() < 50 {
            ticks.push(at * step);
            at += 1.0;
        }
        Scale { ticks, least: first * step, most: last * step }
    }

    /// How far along the axis a number stands: 0 is its least, 1 its largest.
    pub(super) fn share(&self, value: f64) -> f64 {
        ((value - self.least) / (self.most - self.least)).clamp(0.0, 1.0)
    }

    /// The largest number of the axis.
    pub(super) fn most(&self) -> f64 {
        self.most
    }
}

/// The distance of marks that is no less than another, and round.
fn step(unit: &Unit, least: f64) -> f64 {
    if *unit == Unit::Seconds {
        if let Some(step) = LENGTHS.iter().find(|step| **step >= least) {
            return *step;
        }
        // Whole days, ten, twenty, fifty of them.
        return round(least / 86_400.0) * 86_400.0;
    }
    let step = round(least);
    if *unit == Unit::Count { step.max(1.0).ceil() } else { step }
}

fn round(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let part = least / power;
    let whole = [1.0, 2.0, 5.0, 10.0].into_iter().find(|round| *round >= part - 1e-9).unwrap_or(10.0);
    whole * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(unit: &Unit, values: &[f64]) -> Vec<f64> {
        Scale::of(unit, values.iter().copied(), 4.0).ticks
    }

    #[test]
    fn marks_are_round_and_zero_is_one_of_them() {
        assert_eq!(ticks(&Unit::Count, &[3.0, 7.0]), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(ticks(&Unit::Count, &[1.0]), [0.0, 1.0]);
        assert_eq!(ticks(&Unit::Count, &[]), [0.0, 1.0]);
        assert_eq!(ticks(&Unit::Count, &[0.0]), [0.0, 1.0]);
        assert_eq!(ticks(&Unit::Money("EUR".into()), &[-30.0, 90.0]), [-50.0, 0.0, 50.0, 100.0]);
        assert_eq!(ticks(&Unit::Seconds, &[4000.0]), [0.0, 1800.0, 3600.0, 5400.0]);
        assert_eq!(ticks(&Unit::Seconds, &[86_400.0 * 100.0]).last(), Some(&(86_400.0 * 100.0)));
        assert_eq!(ticks(&Unit::Count, &[9_007_199_254_740_991.0]).len(), 3);
        assert_eq!(ticks(&Unit::Count, &[f64::NAN, f64::INFINITY, 4.0]), [0.0, 1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn what_is_negative_stands_below_zero() {
        let scale = Scale::of(&Unit::Points, [-5.0, 5.0].into_iter(), 2.0);
        assert_eq!((scale.share(-5.0), scale.share(0.0), scale.share(5.0)), (0.0, 0.5, 1.0));
    }
}
