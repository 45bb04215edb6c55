//! Values with bounds. What the trace determines exactly is a point; what it bounds is an
//! interval; what it does not know at all reaches to infinity on both sides.

use super::logic::{Lack, Reason, Truth};
use crate::diagnosis::Measured;
use crate::lang::hir::{Arith, CmpOp};
use crate::unit::Num;

/// A number or an infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ext {
    /// Below every number.
    NegInf,
    /// A number.
    Fin(Num),
    /// Above every number.
    PosInf,
}

use Ext::{Fin, NegInf, PosInf};

impl Ext {
    fn sign(self) -> i8 {
        match self {
            NegInf => -1,
            PosInf => 1,
            Fin(n) => match n.numer().cmp(&0) {
                std::cmp::Ordering::Less => -1,
                std::cmp::Ordering::Equal => 0,
                std::cmp::Ordering::Greater => 1,
            },
        }
    }

    fn neg(self) -> Self {
        match self {
            NegInf => PosInf,
            PosInf => NegInf,
            Fin(n) => n.negated().map_or(NegInf, Fin),
        }
    }

    /// The product; `None` on overflow. Zero times infinity is zero: the infinities here stand for
    /// finite numbers that are not known.
    fn mul(self, o: Self) -> Option<Self> {
        match (self, o) {
            (Fin(a), Fin(b)) => a.times(b).map(Fin),
            _ => Some(match self.sign() * o.sign() {
                0 => Fin(Num::ZERO),
                1 => PosInf,
                _ => NegInf,
            }),
        }
    }
}

/// A value between two ends, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Val {
    /// It is at least this.
    pub(super) lo: Ext,
    /// It is at most this.
    pub(super) hi: Ext,
    /// Events behind it.
    pub(super) samples: u64,
    /// There is nothing to measure (no event at all, and that was observed): every comparison with
    /// it is false.
    pub(super) empty: bool,
    /// A percentile with fewer events than its rank needs.
    pub(super) low_support: bool,
    /// Why it is not exact.
    pub(super) why: Option<Reason>,
}

impl Val {
    /// A known number.
    pub(super) fn exact(n: Num, samples: u64) -> Self {
        Self {
            lo: Fin(n),
            hi: Fin(n),
            samples,
            empty: false,
            low_support: false,
            why: None,
        }
    }

    /// Known to lie between two ends.
    pub(super) fn between(lo: Ext, hi: Ext, samples: u64, why: Reason) -> Self {
        let why = (lo != hi).then_some(why);
        Self {
            lo,
            hi,
            samples,
            empty: false,
            low_support: false,
            why,
        }
    }

    /// Not known at all.
    pub(super) fn unknown(why: Reason) -> Self {
        Self {
            lo: NegInf,
            hi: PosInf,
            samples: 0,
            empty: false,
            low_support: false,
            why: Some(why),
        }
    }

    /// In a part of the trace that is not there, or, with a reason, not known.
    pub(super) fn of_no_part(why: Option<Reason>) -> Self {
        why.map_or_else(Self::nothing, Self::unknown)
    }

    /// Nothing there to measure.
    pub(super) fn nothing() -> Self {
        Self {
            lo: Fin(Num::ZERO),
            hi: Fin(Num::ZERO),
            samples: 0,
            empty: true,
            low_support: false,
            why: None,
        }
    }

    /// The number, if it is one.
    pub(super) fn point(&self) -> Option<Num> {
        match (self.lo, self.hi) {
            (Fin(a), Fin(b)) if a == b && !self.empty => Some(a),
            _ => None,
        }
    }

    /// For the report.
    pub(super) fn measured(&self) -> Measured {
        match (self.lo, self.hi) {
            _ if self.empty => Measured::Unknown,
            (Fin(a), Fin(b)) if a == b => Measured::Exact(a),
            (NegInf, PosInf) => Measured::Unknown,
            (lo, hi) => {
                let fin = |e| if let Fin(n) = e { Some(n) } else { None };
                Measured::Between(fin(lo), fin(hi))
            }
        }
    }

    fn merged(&self, o: &Self, lo: Option<Ext>, hi: Option<Ext>) -> Self {
        let (Some(lo), Some(hi)) = (lo, hi) else {
            return Self::unknown(Reason::new(Lack::Partial, "the numbers are too large to compute with"));
        };
        Self {
            lo,
            hi,
            samples: match (self.samples, o.samples) {
                (0, s) | (s, 0) => s,
                (a, b) => a.min(b),
            },
            empty: self.empty || o.empty,
            low_support: self.low_support || o.low_support,
            why: match (&self.why, &o.why) {
                (Some(a), Some(b)) => Some(a.min(b).clone()),
                (a, b) => a.clone().or_else(|| b.clone()),
            },
        }
    }

    /// The negated value.
    #[must_use]
    pub(super) fn negated(&self) -> Self {
        Self {
            lo: self.hi.neg(),
            hi: self.lo.neg(),
            ..self.clone()
        }
    }

    /// Interval arithmetic.
    #[must_use]
    pub(super) fn arith(&self, op: Arith, o: &Self) -> Self {
        let add = |a: Ext, b: Ext| match (a, b) {
            (Fin(x), Fin(y)) => x.plus(y).map(Fin),
            (Fin(_), inf) | (inf, _) => Some(inf),
        };
        match op {
            Arith::Add => self.merged(o, add(self.lo, o.lo), add(self.hi, o.hi)),
            Arith::Sub => self.merged(o, add(self.lo, o.hi.neg()), add(self.hi, o.lo.neg())),
            Arith::Mul => self.product(o),
            Arith::Div => {
                let inverse = match (o.lo, o.hi) {
                    _ if o.empty => {
                        return Self {
                            empty: true,
                            ..self.clone()
                        };
                    }
                    (Fin(a), Fin(b)) if a.numer() > 0 || b.numer() < 0 => match (Num::ONE.over(b), Num::ONE.over(a)) {
                        (Some(lo), Some(hi)) => Self {
                            lo: Fin(lo),
                            hi: Fin(hi),
                            ..o.clone()
                        },
                        _ => Self::unknown(Reason::new(Lack::Partial, "division by zero")),
                    },
                    (Fin(a), PosInf) if a.numer() > 0 => Self {
                        lo: Fin(Num::ZERO),
                        hi: Num::ONE.over(a).map_or(PosInf, Fin),
                        ..o.clone()
                    },
                    (Fin(a), PosInf) if a.numer() == 0 => Self {
                        lo: Fin(Num::ZERO),
                        hi: PosInf,
                        ..o.clone()
                    },
                    (Fin(a), Fin(b)) if a.numer() == 0 && b.numer() > 0 => Self {
                        lo: Num::ONE.over(b).map_or(NegInf, Fin),
                        hi: PosInf,
                        ..o.clone()
                    },
                    // Nothing divided by nothing, or a divisor of unknown sign.
                    _ => {
                        let why = o
                            .why
                            .clone()
                            .unwrap_or_else(|| Reason::new(Lack::Few, "division by zero"));
                        return Self::unknown(why);
                    }
                };
                self.product(&inverse)
            }
        }
    }

    fn product(&self, o: &Self) -> Self {
        let ends = [
            self.lo.mul(o.lo),
            self.lo.mul(o.hi),
            self.hi.mul(o.lo),
            self.hi.mul(o.hi),
        ];
        let ends: Option<Vec<Ext>> = ends.into_iter().collect();
        let lo = ends.as_ref().and_then(|e| e.iter().min().copied());
        let hi = ends.as_ref().and_then(|e| e.iter().max().copied());
        self.merged(o, lo, hi)
    }

    /// Whether `self op o`, as far as the bounds tell.
    pub(super) fn compare(&self, op: CmpOp, o: &Self) -> Truth {
        if self.empty || o.empty {
            return Truth::False;
        }
        let decide = |yes: bool, no: bool| {
            if yes {
                Truth::True
            } else if no {
                Truth::False
            } else {
                Truth::Unknown
            }
        };
        // An unknown end is never met: infinity compares as "could be anything".
        let lt = |a: Ext, b: Ext| a < b && a != NegInf && b != PosInf;
        let le = |a: Ext, b: Ext| a <= b && a != NegInf && b != PosInf && a != PosInf && b != NegInf;
        match op {
            CmpOp::Gt => decide(lt(o.hi, self.lo), le(self.hi, o.lo)),
            CmpOp::Ge => decide(le(o.hi, self.lo), lt(self.hi, o.lo)),
            CmpOp::Lt => decide(lt(self.hi, o.lo), le(o.hi, self.lo)),
            CmpOp::Le => decide(le(self.hi, o.lo), lt(o.hi, self.lo)),
            CmpOp::Eq | CmpOp::Ne => {
                let same = matches!((self.point(), o.point()), (Some(a), Some(b)) if a == b);
                let apart = lt(self.hi, o.lo) || lt(o.hi, self.lo);
                let eq = decide(same, apart);
                if op == CmpOp::Eq { eq } else { !eq }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(n: i128) -> Val {
        Val::exact(Num::int(n), 1)
    }

    fn range(lo: i128, hi: i128) -> Val {
        Val::between(
            Fin(Num::int(lo)),
            Fin(Num::int(hi)),
            1,
            Reason::new(Lack::Partial, "test"),
        )
    }

    fn unknown() -> Val {
        Val::unknown(Reason::new(Lack::Missing, "test"))
    }

    #[test]
    fn bounds_decide_only_what_they_can() {
        assert_eq!(range(5, 9).compare(CmpOp::Gt, &known(4)), Truth::True);
        assert_eq!(range(5, 9).compare(CmpOp::Gt, &known(7)), Truth::Unknown);
        assert_eq!(range(5, 9).compare(CmpOp::Gt, &known(9)), Truth::False);
        assert_eq!(range(5, 9).compare(CmpOp::Ge, &known(9)), Truth::Unknown);
        assert_eq!(range(5, 9).compare(CmpOp::Le, &known(9)), Truth::True);
        assert_eq!(range(5, 9).compare(CmpOp::Eq, &known(3)), Truth::False);
        assert_eq!(range(5, 9).compare(CmpOp::Ne, &known(6)), Truth::Unknown);
        for op in [CmpOp::Gt, CmpOp::Ge, CmpOp::Lt, CmpOp::Le, CmpOp::Eq, CmpOp::Ne] {
            assert_eq!(unknown().compare(op, &known(0)), Truth::Unknown, "{op:?}");
            assert_eq!(known(0).compare(op, &unknown()), Truth::Unknown, "{op:?}");
            assert_eq!(Val::nothing().compare(op, &known(0)), Truth::False, "{op:?}");
        }
    }

    #[test]
    fn arithmetic_keeps_bounds() {
        let product = range(2, 3).arith(Arith::Mul, &range(-1, 4));
        assert_eq!((product.lo, product.hi), (Fin(Num::int(-3)), Fin(Num::int(12))));
        let quotient = range(6, 12).arith(Arith::Div, &range(2, 3));
        assert_eq!((quotient.lo, quotient.hi), (Fin(Num::int(2)), Fin(Num::int(6))));
        assert_eq!(known(1).arith(Arith::Div, &known(0)).measured(), Measured::Unknown);
        let open = Val {
            lo: Fin(Num::int(4)),
            hi: PosInf,
            ..unknown()
        };
        assert_eq!(known(8).arith(Arith::Div, &open).hi, Fin(Num::int(2)));
        assert_eq!(open.arith(Arith::Sub, &open).measured(), Measured::Unknown);
    }
}
