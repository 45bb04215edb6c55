"""Reads exports with the packages that others read them with, and prints facts as JSON."""

import collections
import json
import sys


def perfetto(path):
    """Decodes with the published schema, without a field that it does not know, and replays tracks, slices and flows."""
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema

    trace = schema.Trace()
    with open(path, "rb") as f:
        trace.ParseFromString(f.read())

    def unknown(message):
        from google.protobuf.unknown_fields import UnknownFieldSet

        assert len(UnknownFieldSet(message)) == 0, message
        for field, value in message.ListFields():
            if field.message_type is not None:
                values = value if hasattr(value, "append") or hasattr(value, "add") else [value]
                for one in values:
                    unknown(one)

    names, tracks, stacks = {}, {}, collections.defaultdict(list)
    slices, last = [], {}
    flows = collections.defaultdict(lambda: [None, None])
    counters = collections.Counter()
    unknown(trace)
    for packet in trace.packet:
        for n in packet.interned_data.event_names:
            names[n.iid] = n.name
        if packet.HasField("track_descriptor"):
            t = packet.track_descriptor
            assert t.uuid not in tracks, "a track is declared twice"
            assert not t.HasField("parent_uuid") or t.parent_uuid in tracks, "a parent comes later"
            tracks[t.uuid] = t
        if not packet.HasField("track_event"):
            continue
        e = packet.track_event
        assert packet.sequence_flags == 2 and packet.trusted_packet_sequence_id == 1
        assert e.track_uuid in tracks, "an event on an unknown track"
        at = packet.timestamp
        assert at >= last.get(e.track_uuid, 0), "a track runs backwards"
        last[e.track_uuid] = at
        name = e.name or names.get(e.name_iid, "")
        kind = schema.TrackEvent.Type.Name(e.type)
        if kind == "TYPE_SLICE_BEGIN":
            stacks[e.track_uuid].append((name, at))
            for f in e.flow_ids:
                flows[f][0] = (name, at)
        elif kind == "TYPE_SLICE_END":
            name, start = stacks[e.track_uuid].pop()
            slices.append((tracks[e.track_uuid], name, start, at - start))
        elif kind == "TYPE_INSTANT":
            for f in e.terminating_flow_ids:
                flows[f][1] = (name, at)
        elif kind == "TYPE_COUNTER":
            counters[tracks[e.track_uuid].name] += 1
    assert not any(stacks.values()), "a slice never ends"
    for begin, end in flows.values():
        assert begin and end and begin[1] <= end[1], (begin, end)
    ops = collections.Counter(name for _, name, _, _ in slices)
    spent = collections.Counter()
    for _, name, _, length in slices:
        spent[name] += length
    return {
        "tracks": sorted({t.name or t.thread.thread_name or t.process.process_name for t in tracks.values()}),
        "processes": sorted({t.process.pid for t in tracks.values() if t.HasField("process")}),
        "threads": sorted({t.thread.tid for t in tracks.values() if t.HasField("thread")}),
        "slices": dict(ops),
        "spent": dict(spent),
        "flows": sorted({(b[0], e[0]) for b, e in flows.values()}),
        "counters": dict(counters),
        "diagnoses": sorted(name for t, name, _, _ in slices if t.name == "Diagnoses"),
    }


def parquet(path, sql):
    import duckdb

    rows = duckdb.sql(sql.replace("FILE", f"read_parquet('{path}')").replace("META", f"parquet_kv_metadata('{path}')"))
    return [[v.decode() if isinstance(v, bytes) else v for v in row] for row in rows.fetchall()]


def otlp(path):
    """Every line is a request as the collector's protocol defines it."""
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    spans, ids, events, services = [], set(), [], set()
    most = 0
    with open(path) as lines:
        for line in lines:
            # OTLP writes ids in hex where the JSON of protocol buffers has base64.
            raw = json.loads(line)
            request = json_format.Parse(json.dumps(with_base64(raw)), ExportTraceServiceRequest())
            most = max(most, sum(len(s.spans) for r in request.resource_spans for s in r.scope_spans))
            for r in request.resource_spans:
                services.update(a.value.string_value for a in r.resource.attributes if a.key == "service.name")
                for scope in r.scope_spans:
                    for s in scope.spans:
                        assert len(s.trace_id) == 16 and len(s.span_id) == 8 and any(s.trace_id) and any(s.span_id)
                        assert s.start_time_unix_nano <= s.end_time_unix_nano
                        key = (s.trace_id, s.span_id)
                        assert key not in ids, "an id is used twice"
                        ids.add(key)
                        spans.append(s)
                        events += [e.name for e in s.events]
    by_id = {(s.trace_id, s.span_id): s for s in spans}
    for s in spans:
        if s.parent_span_id:
            parent = by_id[(s.trace_id, s.parent_span_id)]
            assert parent.start_time_unix_nano <= s.start_time_unix_nano, (parent.name, s.name)
        for link in s.links:
            assert (link.trace_id, link.span_id) in by_id
    names = collections.Counter(s.name for s in spans)
    return {"spans": dict(names), "events": dict(collections.Counter(events)), "services": sorted(services), "most": most}


def with_base64(raw):
    import base64

    if isinstance(raw, list):
        return [with_base64(x) for x in raw]
    if isinstance(raw, dict):
        ids = ("traceId", "spanId", "parentSpanId")
        return {
            k: base64.b64encode(bytes.fromhex(v)).decode() if k in ids else with_base64(v) for k, v in raw.items()
        }
    return raw


def xml(path, schema):
    """What a schema finds wrong with a document."""
    from lxml import etree

    rules = etree.XMLSchema(etree.parse(schema))
    rules.validate(etree.parse(path))
    return [f"line {e.line}: {e.message}" for e in rules.error_log]


if __name__ == "__main__":
    kind, rest = sys.argv[1], sys.argv[2:]
    print(json.dumps({"perfetto": perfetto, "parquet": parquet, "otlp": otlp, "xml": xml}[kind](*rest)))
