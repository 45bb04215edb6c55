//! The stretches of a key's life that `@segment` and `segment NAME` speak of.

use rustc_hash::FxHashMap;

use super::Engine;
use super::join;
use super::key::{self, KeyVal};
use super::logic::{Lack, Reason};
use crate::lang::hir::{Segment, SegmentId};
use crate::trace::catalogue::Key;
use crate::unit::Interval;

/// Where the condition of a segment holds, for whom; or why that cannot be told.
pub(super) type Places = FxHashMap<(SegmentId, Vec<Key>, KeyVal), Result<Vec<Interval>, Option<Reason>>>;

impl Engine<'_> {
    /// The stretches of a segment, sorted and apart. `Err(None)`: there is no such stretch; `Err(Some)`:
    /// why that cannot be told. See [`super::value::Val::of_no_part`].
    pub(super) fn stretches(&self, segment: Segment, on: &[Key], key: KeyVal) -> Result<Vec<Interval>, Option<Reason>> {
        let (Segment::Before(id) | Segment::After(id) | Segment::During(id)) = segment else {
            return key::segment(self.trace, key, segment).map(|s| vec![s]).ok_or_else(|| {
                // Where others are seen to use the GPU, a process without any such call does not.
                let watched = |p: &&crate::trace::Process| p.node == key.node() && p.gpu.is_some();
                let process = key.process().map(|p| self.trace.process(p));
                let idle = process.is_some_and(|p| p.gpu.is_none()) && self.trace.processes.iter().any(|p| watched(&p));
                if segment == Segment::Steady && idle {
                    return None;
                }
                let text = match segment {
                    Segment::Steady => "the process never reaches a steady state in this trace",
                    _ => "there is no such part of the trace",
                };
                Some(Reason::new(Lack::Partial, text))
            });
        };
        let life = key::life(self.trace, key).ok_or(None)?;
        let places = self.places(id, on, key)?;
        let (Some(first), Some(last)) = (places.first(), places.iter().map(|p| p.end).max()) else {
            return Err(None);
        };
        // Apart from each other: what starts with the first is in it, not before it.
        let all = match segment {
            Segment::Before(_) if first.start <= life.start => Vec::new(),
            Segment::After(_) if last >= life.end => Vec::new(),
            Segment::Before(_) => vec![Interval::new(life.start, first.start - 1)],
            Segment::After(_) => vec![Interval::new(last + 1, life.end)],
            _ => places,
        };
        let inside = all
            .into_iter()
            .filter(|i| i.start <= i.end && i.start <= life.end && life.start <= i.end)
            .map(|i| Interval::new(i.start.max(life.start), i.end.min(life.end)));
        let inside: Vec<Interval> = inside.collect();
        if inside.is_empty() {
            return Err(None);
        }
        Ok(inside)
    }

    /// Where the condition of a segment holds, merged.
    fn places(&self, id: SegmentId, on: &[Key], key: KeyVal) -> Result<Vec<Interval>, Option<Reason>> {
        let Some(def) = self.program.segments.get(id.0 as usize) else {
            return Ok(Vec::new());
        };
        // Of whoever the key names, whatever single events the key tells apart.
        let on: Vec<Key> = on.iter().copied().filter(|k| k.names_somebody()).collect();
        let key = key.project(&on);
        let whose = (id, on, key);
        if let Some(known) = self.places.lock().ok().and_then(|p| p.get(&whose).cloned()) {
            return known;
        }
        let leaf = self.leaf(&whose.1, &def.cond, key);
        let found = match leaf.doubt {
            Some(why) => Err(Some(why)),
            None => Ok(join::merge(leaf.hits.iter().map(|w| w.when).collect(), 0)),
        };
        if let Ok(mut places) = self.places.lock() {
            places.insert(whose, found.clone());
        }
        found
    }
}
