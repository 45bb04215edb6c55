//! The native format of Perfetto: processes and threads with their calls, states off the CPU, block
//! I/O, requests, counters of the host, and a track of diagnoses. Arrows lead from each cause to the
//! end of the symptom that it explains.
//!
//! Field numbers are those of Perfetto's published protocol. Times are wall-clock nanoseconds.

mod field;

use std::io::{self, Write};

use rustc_hash::FxHashMap;

use super::layout::{Step, lay_out};
use super::proto::Message;
use super::{is_call, process_name, states};
use crate::diagnosis::{Analysis, Diagnosis, Witness};
use crate::trace::catalogue::{Anchor, Source};
use crate::trace::row::{COLUMNS, Get};
use crate::trace::{Lane, NodeIdx, ThreadIdx, Trace};
use crate::unit::{Dim, Interval, Num, show_dur};

/// Types of track events.
const BEGIN: u64 = 1;
const END: u64 = 2;
const INSTANT: u64 = 3;
const COUNTER: u64 = 4;

/// `SEQ_INCREMENTAL_STATE_CLEARED` and `SEQ_NEEDS_INCREMENTAL_STATE`.
const CLEARED: u64 = 1;
const NEEDS_STATE: u64 = 2;

/// Clocks: all of ours show wall-clock time.
const REALTIME: u64 = 1;
const BOOTTIME: u64 = 6;

/// `UNIT_SIZE_BYTES`.
const UNIT_BYTES: u64 = 3;
/// `ChildTracksOrdering::EXPLICIT`.
const EXPLICIT: u64 = 3;

/// Process ids of the hosts behind the first are moved by this, so that equal ones stay apart. Linux
/// has none as large.
const PIDS: i64 = 1 << 22;

/// Columns that a slice says already, by its place, name or length.
const SAID: [&str; 12] = [
    "node", "pid", "process", "tid", "thread", "source", "op", "family", "start_ns", "end_ns", "dur_ns", "gpu",
];

/// Writes a trace and what was found in it.
///
/// # Errors
/// Whatever writing to `out` gives.
pub fn write(trace: &Trace, analysis: &Analysis, out: impl Write) -> io::Result<()> {
    let mut file = File {
        trace,
        out,
        packet: Message::new(),
        interned: Default::default(),
        tracks: 0,
        flows: Flows::of(trace, analysis),
    };
    file.clocks()?;
    file.diagnoses(analysis)?;
    for n in 0..trace.nodes.len() {
        file.node(NodeIdx(u16::try_from(n).unwrap_or(u16::MAX)))?;
    }
    file.out.flush()
}

/// Where arrows begin and end: by host, thread (0 for what has none) and interval.
#[derive(Default)]
struct Flows {
    marks: FxHashMap<(u16, i64, Interval), Ends>,
}

#[derive(Clone, Default)]
struct Ends {
    from: Vec<u64>,
    to: Vec<u64>,
    /// What ends here.
    what: String,
}

impl Flows {
    /// From each witness of the host's side to the witnesses of its conjunct on the same thread that
    /// it overlaps: that is what proves a cause.
    fn of(trace: &Trace, analysis: &Analysis) -> Self {
        let mut flows = Self::default();
        let mut next = 0;
        for d in &analysis.diagnoses {
            let node = trace.nodes.iter().position(|n| n.name == d.key.node).unwrap_or(0);
            let node = u16::try_from(node).unwrap_or(u16::MAX);
            for e in &d.evidence {
                let (causes, symptoms): (Vec<&Witness>, Vec<&Witness>) = e
                    .witnesses
                    .iter()
                    .partition(|w| matches!(w.layer, "HOST" | "IO" | "NET"));
                for cause in causes {
                    let same = |s: &&&Witness| s.tid.is_some() && s.tid == cause.tid && s.when.overlap(cause.when) > 0;
                    for symptom in symptoms.iter().filter(same) {
                        next += 1;
                        let key = |w: &Witness| (node, w.tid.unwrap_or(0), w.when);
                        flows.marks.entry(key(cause)).or_default().from.push(next);
                        let end = flows.marks.entry(key(symptom)).or_default();
                        end.to.push(next);
                        end.what = format!("#{} {}: {} explains this", d.rank, d.rule, cause.op);
                    }
                }
            }
        }
        flows
    }
}

/// Something with a place on a line.
struct Slice<'a> {
    when: Interval,
    what: What<'a>,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Event(&'a Lane, usize),
    State(&'a Lane, &'static str),
    Diagnosis(&'a Diagnosis),
}

#[derive(Clone, Copy)]
struct Place {
    node: u16,
    tid: i64,
}

struct File<'a, W> {
    trace: &'a Trace,
    out: W,
    packet: Message,
    interned: [FxHashMap<String, u64>; 3],
    tracks: u64,
    flows: Flows,
}

impl<'a, W: Write> File<'a, W> {
    fn finish_packet(&mut self) -> io::Result<()> {
        let mut framed = Message::new();
        framed.message(field::trace::PACKET, &self.packet);
        self.packet.clear();
        self.out.write_all(framed.bytes())
    }

    fn clocks(&mut self) -> io::Result<()> {
        use field::clocks;
        let now = self
            .trace
            .nodes
            .iter()
            .filter_map(|n| n.observed)
            .map(|o| o.start)
            .min();
        let now = now.unwrap_or(0).max(0).cast_unsigned();
        let mut snapshot = Message::new();
        for id in [REALTIME, BOOTTIME] {
            let mut clock = Message::new();
            clock.uint(clocks::ID, id).uint(clocks::TIMESTAMP, now);
            snapshot.message(clocks::CLOCK, &clock);
        }
        self.packet
            .message(field::packet::CLOCK_SNAPSHOT, &snapshot)
            .uint(field::packet::SEQUENCE, 1)
            .uint(field::packet::SEQUENCE_FLAGS, CLEARED);
        self.finish_packet()
    }

    /// Declares a track; returns its number.
    fn track(
        &mut self,
        parent: Option<u64>,
        name: &str,
        rank: i64,
        fill: impl FnOnce(&mut Message),
    ) -> io::Result<u64> {
        use field::track;
        self.tracks += 1;
        let mut t = Message::new();
        t.uint(track::UUID, self.tracks);
        if !name.is_empty() {
            t.text(track::NAME, name);
        }
        if let Some(parent) = parent {
            t.uint(track::PARENT, parent);
        }
        t.int(track::RANK, rank).uint(track::CHILD_ORDERING, EXPLICIT);
        fill(&mut t);
        self.packet
            .message(field::packet::TRACK, &t)
            .uint(field::packet::SEQUENCE, 1);
        self.finish_packet()?;
        Ok(self.tracks)
    }

    fn diagnoses(&mut self, analysis: &'a Analysis) -> io::Result<()> {
        if analysis.diagnoses.is_empty() {
            return Ok(());
        }
        let track = self.track(None, "Diagnoses", 0, |_| {})?;
        let slice = |d: &'a Diagnosis| Slice {
            when: d.when,
            what: What::Diagnosis(d),
        };
        let slices: Vec<Slice<'a>> = analysis.diagnoses.iter().map(slice).collect();
        let place = Place { node: u16::MAX, tid: 0 };
        self.slices(track, "Diagnoses", 0, place, &slices)
    }

    fn node(&mut self, node: NodeIdx) -> io::Result<()> {
        self.counters(node)?;
        let trace = self.trace;
        let processes = trace.processes.iter().filter(|p| p.node == node);
        for process in processes {
            let name = process_name(trace, process);
            let pid = process.pid + PIDS * i64::from(node.0);
            let track = self.track(None, if process.pid == 0 { &name } else { "" }, 10, |t| {
                if process.pid != 0 {
                    let mut p = Message::new();
                    p.int(field::process::PID, pid).text(field::process::NAME, &name);
                    t.message(field::track::PROCESS, &p);
                }
            })?;
            for &thread in &process.threads {
                self.thread(track, pid, process.pid != 0, thread)?;
            }
        }
        Ok(())
    }

    fn thread(&mut self, process: u64, pid: i64, real: bool, index: ThreadIdx) -> io::Result<()> {
        let trace = self.trace;
        let thread = trace.thread(index);
        let lanes = &trace.lanes[thread.lanes.clone()];
        let place = Place {
            node: trace.process(thread.process).node.0,
            tid: if real { thread.tid } else { 0 },
        };
        let events = |keep: &dyn Fn(&Lane) -> bool| -> Vec<Slice<'a>> {
            let of = lanes.iter().filter(|l| keep(l));
            of.flat_map(|l| {
                (0..l.len()).map(move |i| Slice {
                    when: l.interval(i),
                    what: What::Event(l, i),
                })
            })
            .collect()
        };
        let derived = |l: &Lane| l.op.def().anchor == Anchor::Derived;
        let requests = |l: &Lane| l.op.def().source == Source::Request;
        for (name, keep) in [
            ("requests", &requests as &dyn Fn(&Lane) -> bool),
            ("steps and programs", &|l| derived(l) && !requests(l) && !is_call(l)),
        ] {
            let slices = events(keep);
            if !slices.is_empty() {
                let track = self.track(Some(process), name, 0, |_| {})?;
                self.slices(track, name, 0, place, &slices)?;
            }
        }
        if !real {
            return Ok(());
        }
        let off_cpu = |l: &Lane| l.op.is("off_cpu");
        let mut stints = Vec::new();
        for lane in lanes.iter().filter(|l| off_cpu(l)) {
            for i in 0..lane.len() {
                let part = |(name, when)| Slice {
                    when,
                    what: What::State(lane, name),
                };
                stints.push(Slice {
                    when: lane.interval(i),
                    what: What::Event(lane, i),
                });
                stints.extend(states(lane, i).into_iter().map(part));
            }
        }
        let io = |l: &Lane| l.op.def().source == Source::Io;
        let rest = |l: &Lane| !derived(l) && !is_call(l) && !off_cpu(l) && !io(l);
        let (calls, io, rest) = (events(&is_call), events(&io), events(&rest));
        if [&calls, &stints, &io, &rest].iter().all(|s| s.is_empty()) {
            return Ok(());
        }
        let name = thread.name.clone();
        let own = self.track(Some(process), "", 1, |t| {
            let mut m = Message::new();
            let tid = thread.tid + pid - trace.process(thread.process).pid;
            m.int(field::thread::PID, pid).int(field::thread::TID, tid);
            if !name.is_empty() {
                m.text(field::thread::NAME, &name);
            }
            t.message(field::track::THREAD, &m);
        })?;
        self.slices(own, "calls", 0, place, &calls)?;
        for (name, slices) in [("off CPU", stints), ("block I/O", io), ("host events", rest)] {
            if !slices.is_empty() {
                let track = self.track(Some(own), name, 2, |_| {})?;
                self.slices(track, name, 2, place, &slices)?;
            }
        }
        Ok(())
    }

    /// Writes slices onto a track, and onto further ones of that name where they cross each other.
    fn slices(&mut self, track: u64, name: &str, rank: i64, place: Place, slices: &[Slice<'a>]) -> io::Result<()> {
        let when: Vec<Interval> = slices.iter().map(|s| s.when).collect();
        let mut lines = vec![track];
        lay_out(&when, |step| match step {
            Step::Begin(i, line) => {
                if line == lines.len() {
                    lines.push(self.track(Some(track), name, rank, |_| {})?);
                }
                self.begin(lines[line], place, &slices[i])
            }
            Step::End(i, line) => self.end(lines[line], place, &slices[i]),
        })
    }

    fn begin(&mut self, track: u64, place: Place, slice: &Slice<'_>) -> io::Result<()> {
        use field::event;
        let mut state = Message::new();
        let mut e = Message::new();
        e.uint(event::TYPE, BEGIN).uint(event::TRACK, track);
        match slice.what {
            What::Event(lane, i) => {
                let def = lane.op.def();
                e.uint(event::CATEGORY_IIDS, self.intern(&mut state, 0, def.source.name()));
                match lane.name.get(i).filter(|n| !n.is_empty()) {
                    Some(name) => e.text(event::NAME, &format!("{}: {name}", def.name)),
                    None if lane.op.is("off_cpu") => {
                        let iid = self.intern(&mut state, 1, "off CPU");
                        e.uint(event::NAME_IID, iid)
                    }
                    None => {
                        let iid = self.intern(&mut state, 1, def.name);
                        e.uint(event::NAME_IID, iid)
                    }
                };
                for column in COLUMNS.iter().filter(|c| !SAID.contains(&c.name)) {
                    self.annotation(&mut e, &mut state, column.name, column.get, lane, i);
                }
            }
            What::State(lane, name) => {
                e.uint(
                    event::CATEGORY_IIDS,
                    self.intern(&mut state, 0, lane.op.def().source.name()),
                );
                let iid = self.intern(&mut state, 1, name);
                e.uint(event::NAME_IID, iid);
            }
            What::Diagnosis(d) => self.diagnosis(&mut e, &mut state, d),
        }
        if let Some(ends) = self.flows.marks.get(&(place.node, place.tid, slice.when)) {
            for &id in &ends.from {
                e.fixed(event::FLOWS, id);
            }
        }
        self.event(slice.when.start, &e, &state)
    }

    fn end(&mut self, track: u64, place: Place, slice: &Slice<'_>) -> io::Result<()> {
        use field::event;
        // An arrow leads on in time: it ends in a mark at the end of its symptom.
        let ends = self.flows.marks.get(&(place.node, place.tid, slice.when));
        if let Some(ends) = ends.filter(|e| !e.to.is_empty()).cloned() {
            let mut e = Message::new();
            e.uint(event::TYPE, INSTANT)
                .uint(event::TRACK, track)
                .text(event::NAME, &ends.what);
            for id in ends.to {
                e.fixed(event::FLOW_ENDS, id);
            }
            self.event(slice.when.end, &e, &Message::new())?;
        }
        let mut e = Message::new();
        e.uint(event::TYPE, END).uint(event::TRACK, track);
        self.event(slice.when.end, &e, &Message::new())
    }

    fn event(&mut self, at: i64, event: &Message, interned: &Message) -> io::Result<()> {
        use field::packet;
        self.packet
            .uint(packet::TIMESTAMP, at.max(0).cast_unsigned())
            .uint(packet::SEQUENCE, 1)
            .uint(packet::SEQUENCE_FLAGS, NEEDS_STATE);
        if !interned.bytes().is_empty() {
            self.packet.message(packet::INTERNED, interned);
        }
        self.packet.message(packet::TRACK_EVENT, event);
        self.finish_packet()
    }

    /// The number of a text; its first use is written to `state`. Kinds: category, name, annotation.
    fn intern(&mut self, state: &mut Message, kind: usize, text: &str) -> u64 {
        use field::interned;
        if let Some(&iid) = self.interned[kind].get(text) {
            return iid;
        }
        let iid = self.interned[kind].len() as u64 + 1;
        self.interned[kind].insert(text.to_owned(), iid);
        let mut entry = Message::new();
        entry.uint(interned::IID, iid).text(interned::TEXT, text);
        let field = [interned::CATEGORIES, interned::NAMES, interned::ANNOTATION_NAMES][kind];
        state.message(field, &entry);
        iid
    }

    fn annotation(&mut self, e: &mut Message, state: &mut Message, name: &str, get: Get, lane: &Lane, i: usize) {
        use field::annotation;
        let mut value = Message::new();
        match get {
            Get::Int(get) => match get(self.trace, lane, i) {
                Some(v) if name != "ret" || v != 0 => value.int(annotation::INT, v),
                _ => return,
            },
            Get::Flag(get) => match get(self.trace, lane, i) {
                Some(true) => value.uint(annotation::BOOL, 1),
                _ => return,
            },
            Get::Text(get) => match get(self.trace, lane, i) {
                Some(v) => value.text(annotation::TEXT, v),
                None => return,
            },
        };
        value.uint(annotation::NAME_IID, self.intern(state, 2, name));
        e.message(field::event::ANNOTATIONS, &value);
    }

    fn diagnosis(&mut self, e: &mut Message, state: &mut Message, d: &Diagnosis) {
        use field::{annotation, event};
        e.uint(event::CATEGORY_IIDS, self.intern(state, 0, "diagnosis"));
        e.text(
            event::NAME,
            &format!("#{} {} {}", d.rank, d.severity.name().to_uppercase(), d.rule),
        );
        let sure = format!("{} %", d.confidence / 10);
        let process = d.key.process.clone().unwrap_or_default();
        let fix = d.fixes.join("\n");
        let lost = show_dur(d.impact_ns);
        let texts = [
            ("message", d.message.as_str()),
            ("sure", &sure),
            ("lost", &lost),
            ("node", &d.key.node),
            ("process", &process),
            ("refuted_by", &d.refuted_by),
            ("fix", &fix),
        ];
        for (name, text) in texts.into_iter().filter(|t| !t.1.is_empty()) {
            let mut value = Message::new();
            value
                .text(annotation::TEXT, text)
                .uint(annotation::NAME_IID, self.intern(state, 2, name));
            e.message(event::ANNOTATIONS, &value);
        }
        let numbers = [("pid", d.key.pid), ("tid", d.key.tid)];
        for (name, number) in numbers.into_iter().filter_map(|(name, n)| Some((name, n?))) {
            let mut value = Message::new();
            value
                .int(annotation::INT, number)
                .uint(annotation::NAME_IID, self.intern(state, 2, name));
            e.message(event::ANNOTATIONS, &value);
        }
    }

    /// What the host said of itself once a second.
    fn counters(&mut self, index: NodeIdx) -> io::Result<()> {
        use field::{counter, event, track};
        let trace = self.trace;
        let node = trace.node(index);
        if node.snapshots.is_empty() {
            return Ok(());
        }
        let name = if node.name.is_empty() {
            "the host".to_owned()
        } else {
            format!("host {}", node.name)
        };
        let group = self.track(None, &name, 5, |_| {})?;
        let fields = crate::trace::catalogue::SystemField::ALL;
        for (field, name, dim, _) in fields {
            let bytes = dim == Dim::BYTES;
            let percent = name == "cpu" || name == "mem";
            let values: Vec<(i64, f64)> = node
                .snapshots
                .iter()
                .filter_map(|s| {
                    let (n, d) = s.field(field, node.cores)?;
                    Some((s.at, Num::ratio(n.into(), d.into())?.to_f64()))
                })
                .collect();
            if values.is_empty() {
                continue;
            }
            let own = self.track(Some(group), name, 0, |t| {
                let mut c = Message::new();
                if bytes {
                    c.uint(counter::UNIT, UNIT_BYTES);
                } else if percent {
                    c.text(counter::UNIT_NAME, "%");
                }
                t.message(track::COUNTER, &c);
            })?;
            for (at, value) in values {
                let mut e = Message::new();
                let value = if percent { value * 100.0 } else { value };
                e.uint(event::TYPE, COUNTER)
                    .uint(event::TRACK, own)
                    .double(event::DOUBLE_COUNTER, value);
                self.event(at, &e, &Message::new())?;
            }
        }
        Ok(())
    }
}
