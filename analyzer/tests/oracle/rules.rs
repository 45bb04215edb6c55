//! Random rules as small trees, and their text.

use ingero::unit::{MS, SEC, US};
use proptest::prelude::*;

use super::scene::Kind::{self, CuLaunch, Launch, Malloc, Memcpy, OffCpu, Read, Send, Sync, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    OffCpu,
    RunQueue,
    Sleep,
    IoWait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Ops(&'static str, &'static [Kind]),
    State(State),
    Gap(&'static str, &'static [Kind]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Longer(i64),
    AtMost(i64),
    FirstUse(bool),
    Bytes(i64),
    /// Host to device.
    Upload,
    /// Longer than that many medians.
    Medians(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sel {
    pub(crate) base: Base,
    pub(crate) filters: Vec<Filter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stat {
    Count,
    Rate,
    Sum,
    Bytes,
    Busy,
    Min,
    Max,
    Avg,
    Pct(u64, u64),
    First,
    Last,
    Distinct(What),
}

/// What values are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Tid,
    Pid,
    Stream,
    Gpu,
    Bytes,
}

impl What {
    fn text(self) -> &'static str {
        match self {
            Self::Tid => "tid",
            Self::Pid => "pid",
            Self::Stream => "stream",
            Self::Gpu => "gpu",
            Self::Bytes => "bytes",
        }
    }
}

impl Stat {
    fn text(self) -> String {
        match self {
            Self::Count => "count".into(),
            Self::Rate => "rate".into(),
            Self::Sum => "sum".into(),
            Self::Bytes => "bytes".into(),
            Self::Busy => "busy".into(),
            Self::Min => "min".into(),
            Self::Max => "max".into(),
            Self::Avg => "avg".into(),
            Self::Pct(p, _) => format!("p{p}"),
            Self::First => "first".into(),
            Self::Last => "last".into(),
            Self::Distinct(what) => format!("distinct({})", what.text()),
        }
    }

    pub(crate) fn spread(self) -> bool {
        matches!(self, Self::Min | Self::Max | Self::Avg | Self::Pct(..))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seg {
    Trace,
    First,
    Second,
    Before(Mark),
    After(Mark),
    During(Mark),
}

/// What segments are marked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Sync(i64),
    OffCpu(i64),
}

impl Mark {
    fn text(self) -> String {
        match self {
            Self::Sync(d) => format!("cuda.sync > {}", time(d)),
            Self::OffCpu(d) => format!("sched.off_cpu > {}", time(d)),
        }
    }
}

impl Seg {
    fn text(self) -> String {
        match self {
            Self::Trace => "trace".into(),
            Self::First => "first_half".into(),
            Self::Second => "second_half".into(),
            Self::Before(m) => format!("before({})", m.text()),
            Self::After(m) => format!("after({})", m.text()),
            Self::During(m) => format!("during({})", m.text()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rel {
    Gt,
    Ge,
    Lt,
    Le,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rhs {
    Num(i64),
    Medians(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Thread,
    Process,
}

#[derive(Clone, Debug)]
pub(crate) enum Pred {
    Cmp(Sel, Stat, Seg, Rel, Rhs),
    Exists(Sel, i64),
    State(State, i64),
    Covered(Sel, Sel, Scope, i64),
    Lift(Sel, Sel, i64),
    Window(Sel, Stat, i64, i64),
    Share(Sel, i64),
    Drop(Sel, i64, Seg, Seg),
    Not(Box<Pred>),
    And(Vec<Pred>),
    Or(Vec<Pred>),
    Unless(Box<Pred>, Box<Pred>),
    Within(Vec<Pred>, i64),
    /// The first, and each other on that side of it.
    Beside(Vec<Pred>, i64, Side),
    /// Elements, and how far each may be from the one before it.
    Then(Vec<Pred>, Vec<Option<i64>>),
    Without(Box<Pred>, Box<Pred>, i64, Side),
    During(Box<Pred>, Box<Pred>),
    Lasting(Box<Pred>, i64),
    /// More than so many times what the peers come to.
    Peers(Sel, Stat, i64, Peers),
}

/// Of the values of the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    Median,
    P90,
    Max,
}

impl Peers {
    fn text(self) -> &'static str {
        match self {
            Self::Median => "peer_median",
            Self::P90 => "peer_p90",
            Self::Max => "peer_max",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Around,
    Before,
    After,
}

impl Side {
    fn text(self) -> &'static str {
        match self {
            Self::Around => "",
            Self::Before => " before",
            Self::After => " after",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Node,
    Pid,
    Tid,
    PidOp,
    PidStream,
    PidGpu,
    Process,
    Tree,
}

impl Key {
    /// Whether single calls decide it, which gaps and stints do not know.
    pub(crate) fn by_call(self) -> bool {
        matches!(self, Self::PidOp | Self::PidStream | Self::PidGpu)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Pid => "pid",
            Self::Tid => "tid",
            Self::PidOp => "(pid, op)",
            Self::PidStream => "(pid, stream)",
            Self::PidGpu => "(pid, gpu)",
            Self::Process => "process",
            Self::Tree => "tree",
        }
    }

    /// The part in which peers differ.
    fn across(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Pid | Self::PidOp => "pid",
            Self::Tid => "tid",
            Self::PidStream => "stream",
            Self::PidGpu => "gpu",
            Self::Process => "process",
            Self::Tree => "tree",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) key: Key,
    pub(crate) min_count: u64,
    pub(crate) cond: Pred,
}

fn time(ns: i64) -> String {
    format!("{}us", ns / US)
}

impl State {
    fn text(self) -> &'static str {
        match self {
            Self::OffCpu => "sched.off_cpu",
            Self::RunQueue => "sched.runq",
            Self::Sleep => "sched.sleep",
            Self::IoWait => "sched.io_wait",
        }
    }
}

impl Sel {
    pub(crate) fn text(&self) -> String {
        let base = match self.base {
            Base::Ops(name, _) => name.to_owned(),
            Base::State(s) => s.text().to_owned(),
            Base::Gap(name, _) => format!("gap({name})"),
        };
        if self.filters.is_empty() {
            return base;
        }
        let filters: Vec<String> = self
            .filters
            .iter()
            .map(|f| match f {
                Filter::Longer(d) => format!("duration > {}", time(*d)),
                Filter::AtMost(d) => format!("duration <= {}", time(*d)),
                Filter::FirstUse(true) => "first_use".into(),
                Filter::FirstUse(false) => "not first_use".into(),
                Filter::Bytes(b) => format!("bytes >= {b}B"),
                Filter::Upload => "direction = h2d".into(),
                Filter::Medians(k) => format!("duration > {k}*p50"),
            })
            .collect();
        format!("{base}[{}]", filters.join(", "))
    }
}

impl Rel {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Lt => "<",
            Self::Le => "<=",
        }
    }
}

impl Pred {
    pub(crate) fn text(&self) -> String {
        let joined = |l: &[Self], with: &str| l.iter().map(|p| p.text()).collect::<Vec<_>>().join(with);
        match self {
            Self::Cmp(s, stat, seg, rel, rhs) => {
                let name = stat.text();
                let seg = match seg {
                    Seg::Trace => String::new(),
                    other => format!("@{}", other.text()),
                };
                let rhs = match (rhs, stat) {
                    (Rhs::Medians(k), _) => format!("{k}*p50"),
                    (Rhs::Num(n), Stat::Count | Stat::Distinct(_)) => n.to_string(),
                    (Rhs::Num(n), Stat::Rate) => format!("{n}/s"),
                    (Rhs::Num(n), Stat::Bytes) => format!("{n}B"),
                    (Rhs::Num(n), Stat::Busy) => format!("{n}%"),
                    (Rhs::Num(n), _) => time(*n),
                };
                format!("{}.{name}{seg} {} {rhs}", s.text(), rel.text())
            }
            Self::Exists(s, d) => format!("{} > {}", s.text(), time(*d)),
            Self::State(s, d) => format!("{} > {}", s.text(), time(*d)),
            Self::Covered(a, b, scope, pct) => {
                let scope = if *scope == Scope::Thread { "" } else { ", process" };
                format!("covered({}, {}{scope}) >= {pct}%", a.text(), b.text())
            }
            Self::Lift(a, b, k) => format!("lift({}, {}) > {k}", a.text(), b.text()),
            Self::Window(s, Stat::Sum, w, n) => format!("{}.sum over {} > {}", s.text(), time(*w), time(*n)),
            Self::Window(s, Stat::Busy, w, n) => format!("{}.busy over {} >= {n}%", s.text(), time(*w)),
            Self::Window(s, Stat::Max, w, n) => format!("{}.max over {} > {}", s.text(), time(*w), time(*n)),
            Self::Window(s, _, w, n) => format!("{}.count over {} > {n}", s.text(), time(*w)),
            Self::Share(s, pct) => format!("share({}) > {pct}%", s.text()),
            Self::Drop(s, pct, Seg::First, Seg::Second) => format!("drop({}.count) > {pct}%", s.text()),
            Self::Drop(s, pct, a, b) => format!("drop({}.count, {}, {}) > {pct}%", s.text(), a.text(), b.text()),
            Self::Not(p) => format!("not ({})", p.text()),
            Self::And(l) => format!("({})", joined(l, " and ")),
            Self::Or(l) => format!("({})", joined(l, " or ")),
            Self::Unless(a, b) => format!("({} unless {})", a.text(), b.text()),
            Self::Within(l, d) => format!("({} within {})", joined(l, " and "), time(*d)),
            Self::Beside(l, d, side) => format!("({} within {}{})", joined(l, " and "), time(*d), side.text()),
            Self::Then(l, hops) => {
                let mut out = l[0].text();
                for (p, hop) in l[1..].iter().zip(hops) {
                    out += &format!(" then {}", p.text());
                    out += &hop.map_or(String::new(), |d| format!(" within {}", time(d)));
                }
                format!("({out})")
            }
            Self::Without(a, b, d, side) => {
                format!("({} without {} within {}{})", a.text(), b.text(), time(*d), side.text())
            }
            Self::During(a, b) => format!("({} during {})", a.text(), b.text()),
            Self::Lasting(a, d) => format!("({} lasting {})", a.text(), time(*d)),
            Self::Peers(s, stat, k, peers) => {
                let own = format!("{}.{}", s.text(), stat.text());
                format!("{own} > {k}*{}({own})", peers.text())
            }
        }
    }
}

impl Pred {
    fn has_peers(&self) -> bool {
        match self {
            Self::Peers(..) => true,
            Self::Not(p) | Self::Lasting(p, _) => p.has_peers(),
            Self::And(l) | Self::Or(l) | Self::Within(l, _) | Self::Beside(l, ..) | Self::Then(l, _) => {
                l.iter().any(Self::has_peers)
            }
            Self::Unless(a, b) | Self::Without(a, b, ..) | Self::During(a, b) => a.has_peers() || b.has_peers(),
            _ => false,
        }
    }
}

impl Rule {
    /// The rule as `R`, and its negation as `N`: together they tell the truth for each key.
    pub(crate) fn text(&self) -> String {
        let mut per = self.key.text().to_owned();
        if self.cond.has_peers() {
            per += &format!(" across {}", self.key.across());
        }
        let cond = self.cond.text();
        let n = self.min_count;
        format!(
            "when {cond} per {per} => R {{ min_count {n} }}\nwhen not ({cond}) per {per} => N {{ min_count {n} }}\n"
        )
    }
}

const CUDA: &[Kind] = &[Launch, Malloc, Memcpy, Sync];
/// Selections of one operation or family, fit for any statistic.
const SINGLE: &[(&str, &[Kind])] = &[
    ("cuda.launch", &[Launch]),
    ("cuda.cudaMalloc", &[Malloc]),
    ("cuda.memcpy", &[Memcpy]),
    ("cuda.sync", &[Sync]),
    ("gpu.launch", &[Launch, CuLaunch]),
    ("driver.launch", &[CuLaunch]),
    ("io.read", &[Read]),
    ("net.net_send", &[Send]),
];
const _: (Kind, Kind) = (OffCpu, Write);

fn states() -> impl Strategy<Value = State> {
    prop::sample::select(vec![
        State::OffCpu,
        State::OffCpu,
        State::RunQueue,
        State::Sleep,
        State::IoWait,
    ])
}

fn short() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![5 * US, 10 * US, 50 * US, MS, 2 * MS, 9 * MS, 49 * MS, 100 * MS])
}

fn filters(base: Base, exact: bool) -> BoxedStrategy<Vec<Filter>> {
    let mut some: Vec<BoxedStrategy<Filter>> = vec![
        short().prop_map(Filter::Longer).boxed(),
        short().prop_map(Filter::AtMost).boxed(),
    ];
    let mut alone: Vec<Filter> = vec![Filter::Medians(1), Filter::Medians(3)];
    match base {
        Base::Ops(name, _) if name.ends_with("launch") && exact => {
            some.push(any::<bool>().prop_map(Filter::FirstUse).boxed());
        }
        Base::Ops("cuda.memcpy", _) => {
            some.push(Just(Filter::Upload).boxed());
            some.push((0..200i64).prop_map(|k| Filter::Bytes(k * 1024)).boxed());
        }
        Base::Ops(..) => {}
        Base::State(_) | Base::Gap(..) => alone.clear(),
    }
    let mixed = prop::collection::vec(proptest::strategy::Union::new(some), 0..3);
    if alone.is_empty() {
        mixed.boxed()
    } else {
        prop_oneof![4 => mixed, 1 => prop::sample::select(alone).prop_map(|f| vec![f])].boxed()
    }
}

fn base(key: Key) -> BoxedStrategy<Base> {
    match key {
        Key::PidOp => return Just(Base::Ops("cuda", CUDA)).boxed(),
        Key::PidStream | Key::PidGpu => {
            let calls = prop::sample::select(&SINGLE[..6]);
            return calls.prop_map(|(n, k)| Base::Ops(n, k)).boxed();
        }
        _ => {}
    }
    prop_oneof![
        6 => prop::sample::select(SINGLE).prop_map(|(n, k)| Base::Ops(n, k)),
        2 => states().prop_map(Base::State),
        1 => prop::sample::select(vec![Base::Gap("cuda", CUDA), Base::Gap("gpu.launch", &[Launch, CuLaunch])]),
    ]
    .boxed()
}

fn sel(key: Key, exact: bool) -> impl Strategy<Value = Sel> {
    base(key).prop_flat_map(move |b| filters(b, exact).prop_map(move |filters| Sel { base: b, filters }))
}

fn stored(key: Key, exact: bool) -> impl Strategy<Value = Sel> {
    sel(key, exact).prop_filter("of stored calls", |s| matches!(s.base, Base::Ops(..)))
}

fn rel() -> impl Strategy<Value = Rel> {
    prop::sample::select(vec![Rel::Gt, Rel::Ge, Rel::Lt, Rel::Le])
}

fn compare(key: Key, exact: bool) -> impl Strategy<Value = Pred> {
    let stat = prop::sample::select(vec![
        Stat::Count,
        Stat::Rate,
        Stat::Sum,
        Stat::Bytes,
        Stat::Busy,
        Stat::Min,
        Stat::Max,
        Stat::Avg,
        Stat::Pct(50, 100),
        Stat::Pct(90, 100),
        Stat::Pct(99, 100),
        Stat::First,
        Stat::Last,
        Stat::Distinct(What::Tid),
        Stat::Distinct(What::Pid),
        Stat::Distinct(What::Stream),
        Stat::Distinct(What::Gpu),
        Stat::Distinct(What::Bytes),
    ]);
    let seg = segs();
    (sel(key, exact), stat, seg, rel(), short(), 0..30i64, 1..4i64).prop_map(|(s, stat, seg, rel, d, n, k)| {
        let bytes = matches!(
            s.base,
            Base::Ops("cuda.memcpy" | "cuda.cudaMalloc" | "io.read" | "net.net_send", _)
        );
        let stat = if stat == Stat::Bytes && !bytes {
            Stat::Count
        } else {
            stat
        };
        let gpu = matches!(s.base, Base::Ops(name, _) if !name.starts_with("io") && !name.starts_with("net"));
        let stat = match stat {
            // Whatever has no such field does not compile.
            Stat::Distinct(What::Bytes) if !bytes => Stat::Distinct(What::Tid),
            Stat::Distinct(What::Stream | What::Gpu) if !gpu => Stat::Distinct(What::Pid),
            other => other,
        };
        let plain = !s.filters.iter().any(|f| matches!(f, Filter::Medians(_)));
        let rhs = match stat {
            Stat::Count | Stat::Rate => Rhs::Num(n),
            Stat::Distinct(_) => Rhs::Num(n / 4),
            Stat::Busy => Rhs::Num(n * 3),
            Stat::Bytes => Rhs::Num(n * 20_000),
            Stat::Pct(90 | 99, _) | Stat::Max if k > 1 && plain => Rhs::Medians(k),
            Stat::Sum => Rhs::Num(d * n),
            _ => Rhs::Num(d),
        };
        Pred::Cmp(s, stat, seg, rel, rhs)
    })
}

fn segs() -> impl Strategy<Value = Seg> {
    let mark = |k: bool, d: i64| if k { Mark::Sync(d) } else { Mark::OffCpu(d) };
    let marked = (any::<bool>(), short(), 0..3).prop_map(move |(k, d, which)| match which {
        0 => Seg::Before(mark(k, d)),
        1 => Seg::After(mark(k, d)),
        _ => Seg::During(mark(k, d)),
    });
    prop_oneof![
        3 => prop::sample::select(vec![Seg::Trace, Seg::Trace, Seg::First, Seg::Second]),
        2 => marked,
    ]
}

fn placed(key: Key, exact: bool) -> BoxedStrategy<Pred> {
    let tail = (stored(key, exact), short()).prop_map(|(s, d)| {
        Pred::Cmp(
            s,
            Stat::Pct(99, 100),
            Seg::Trace,
            Rel::Gt,
            if d > MS { Rhs::Medians(2) } else { Rhs::Num(d) },
        )
    });
    let tail = tail.prop_filter("one median", |p| {
        !matches!(p, Pred::Cmp(s, _, _, _, Rhs::Medians(_)) if s.filters.iter().any(|f| matches!(f, Filter::Medians(_))))
    });
    prop_oneof![
        3 => tail,
        3 => (stored(key, exact), short()).prop_map(|(s, d)| Pred::Exists(s, d)),
        1 => window(key, exact),
    ]
    .boxed()
}

fn window(key: Key, exact: bool) -> BoxedStrategy<Pred> {
    (stored(key, exact), 0..6, short(), 0..6i64)
        .prop_map(|(s, which, w, n)| {
            let (stat, n) = match which {
                0 | 1 => (Stat::Sum, n * w / 5),
                2 => (Stat::Busy, n * 15),
                3 => (Stat::Max, n * w / 5),
                _ => (Stat::Count, n),
            };
            Pred::Window(s, stat, w * 10, n)
        })
        .boxed()
}

fn within(key: Key, exact: bool) -> BoxedStrategy<Pred> {
    let d = prop::sample::select(vec![0, US, MS, 7 * MS, 100 * MS, SEC]);
    let state = (states(), short()).prop_map(|(s, d)| Pred::State(s, d * 3));
    let placed_terms = prop::collection::vec(placed(key, exact), 1..3);
    let with_state = (placed_terms, prop::collection::vec(state, 1..3)).prop_map(|(mut all, states)| {
        all.extend(states);
        all
    });
    let events = prop::collection::vec(placed(key, exact), 2..4);
    (prop_oneof![with_state, events], d)
        .prop_map(|(l, d)| Pred::Within(l, d))
        .boxed()
}

/// Words of order around things that have a place.
fn order(key: Key, exact: bool) -> BoxedStrategy<Pred> {
    let d = || prop::sample::select(vec![0, US, MS, 7 * MS, 100 * MS, SEC]);
    let one = move || {
        // Stints have no operation.
        let stints = u32::from(!key.by_call());
        prop_oneof![
            3 => placed(key, exact),
            stints => (states(), short()).prop_map(|(s, d)| Pred::State(s, d)),
        ]
    };
    let hop = prop_oneof![3 => d().prop_map(Some), 1 => Just(None)];
    let side = || prop::sample::select(vec![Side::Around, Side::Before, Side::After]);
    prop_oneof![
        (prop::collection::vec(one(), 2..4), prop::collection::vec(hop, 3)).prop_map(|(l, mut hops)| {
            hops.truncate(l.len() - 1);
            Pred::Then(l, hops)
        }),
        (prop::collection::vec(one(), 2..4), d(), any::<bool>())
            .prop_map(|(l, d, after)| { Pred::Beside(l, d, if after { Side::After } else { Side::Before }) }),
        (one(), one(), d(), side()).prop_map(|(a, b, d, s)| Pred::Without(Box::new(a), Box::new(b), d, s)),
        (one(), one()).prop_map(|(a, b)| Pred::During(Box::new(a), Box::new(b))),
        (one(), d()).prop_map(|(a, d)| Pred::Lasting(Box::new(a), d)),
    ]
    .boxed()
}

fn leaf(key: Key, exact: bool) -> BoxedStrategy<Pred> {
    let pct = prop::sample::select(vec![1, 10, 50, 90, 100]);
    let b =
        || prop_oneof![states().prop_map(Base::State), base(Key::Tid)].prop_map(|base| Sel { base, filters: vec![] });
    // Off-CPU time of a process is known or not as a whole, which a node is not.
    let scope = if matches!(key, Key::Node | Key::Process | Key::Tree) {
        vec![Scope::Thread]
    } else {
        vec![Scope::Thread, Scope::Process]
    };
    prop_oneof![
        6 => compare(key, exact),
        2 => (sel(key, exact), short()).prop_map(|(s, d)| match s.base {
            Base::State(st) if s.filters.is_empty() => Pred::State(st, d),
            Base::State(st) => Pred::State(st, d),
            _ => Pred::Exists(s, d),
        }),
        2 => (stored(key, exact), b(), prop::sample::select(scope), pct.clone())
            .prop_map(|(a, b, s, p)| Pred::Covered(a, b, s, p)),
        1 => (stored(key, exact), b(), 0..4i64).prop_map(|(a, b, k)| Pred::Lift(a, b, k)),
        2 => window(key, exact),
        1 => (stored(key, exact), pct.clone()).prop_map(|(mut s, p)| {
            if s.filters.is_empty() {
                s.filters.push(Filter::Longer(MS));
            }
            Pred::Share(s, p)
        }),
        1 => (stored(key, exact), pct, segs(), segs(), any::<bool>()).prop_map(|(s, p, a, b, halves)| {
            if halves {
                Pred::Drop(s, p, Seg::First, Seg::Second)
            } else {
                Pred::Drop(s, p, a, b)
            }
        }),
        2 => (stored(key, exact), 0..5usize, 1..4i64, 0..3usize).prop_map(|(s, stat, k, peers)| {
            let stat = [Stat::Count, Stat::Sum, Stat::Avg, Stat::Max, Stat::Pct(50, 100)][stat];
            Pred::Peers(s, stat, k, [Peers::Median, Peers::P90, Peers::Max][peers])
        }),
        5 => within(key, exact),
        6 => order(key, exact),
    ]
    .boxed()
}

/// A rule; `exact`: may ask for what only complete rows tell (first uses).
pub(crate) fn rule(exact: bool) -> impl Strategy<Value = Rule> {
    let key = prop::sample::select(vec![
        Key::Node,
        Key::Pid,
        Key::Pid,
        Key::Tid,
        Key::PidOp,
        Key::PidOp,
        Key::PidStream,
        Key::PidGpu,
        Key::Process,
        Key::Tree,
    ]);
    (key, prop::sample::select(vec![1u64, 3, 10])).prop_flat_map(move |(key, min_count)| {
        let l = || leaf(key, exact);
        let cond = prop_oneof![
            6 => l(),
            1 => l().prop_map(|p| Pred::Not(Box::new(p))),
            2 => prop::collection::vec(l(), 2..4).prop_map(Pred::And),
            1 => prop::collection::vec(l(), 2..3).prop_map(Pred::Or),
            1 => (l(), l()).prop_map(|(a, b)| Pred::Unless(Box::new(a), Box::new(b))),
        ];
        cond.prop_map(move |cond| Rule { key, min_count, cond })
    })
}
