//! W3C trace context, in and out of spans: one trace from the HTTP request through Kafka's headers to the result.

use std::collections::HashMap;

use opentelemetry::propagation::{Extractor, Injector};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header of W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";
/// Its vendors' part.
pub const TRACESTATE: &str = "tracestate";

/// Trace context as it travels in headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
    /// The value of `traceparent`.
    pub traceparent: Option<String>,
    /// The value of `tracestate`.
    pub tracestate: Option<String>,
}

impl Carried {
    /// Context read from headers. A `traceparent` that is not of the standard's form is dropped, as the standard asks.
    #[must_use]
    pub fn new(traceparent: Option<&str>, tracestate: Option<&str>) -> Self {
        let traceparent = traceparent.filter(|value| is_traceparent(value)).map(str::to_owned);
        let tracestate = tracestate.filter(|_| traceparent.is_some()).map(str::to_owned);
        Self { traceparent, tracestate }
    }

    /// Makes `span` a child of this context.
    pub fn adopt(&self, span: &Span) {
        if self.traceparent.is_some() {
            let context = opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(self));
            // Without an exporter there is no layer to take the parent: nothing is lost.
            let _ = span.set_parent(context);
        }
    }

    /// The context that what comes after `span` carries on: the span's own where traces are exported, else this one.
    #[must_use]
    pub fn onward(&self, span: &Span) -> Self {
        let mut fields = HashMap::new();
        opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&span.context(), &mut Fields(&mut fields));
        });
        match fields.remove(TRACEPARENT) {
            Some(traceparent) => {
                let tracestate = fields.remove(TRACESTATE).filter(|state| !state.is_empty());
                Self { traceparent: Some(traceparent), tracestate }
            }
            None => self.clone(),
        }
    }
}

impl Extractor for Carried {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => self.traceparent.as_deref(),
            TRACESTATE => self.tracestate.as_deref(),
            _ => None,
        }
    }
    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

struct Fields<'a>(&'a mut HashMap<String, String>);

impl Injector for Fields<'_> {
    fn set(&mut self, key: &str, value: String) {
        self.0.insert(key.to_owned(), value);
    }
}

/// Whether `value` is a `traceparent` (W3C Trace Context §3.2.2): version, trace id, parent id and flags in lower-case
/// hexadecimal, ids not all zero.
#[must_use]
pub fn is_traceparent(value: &str) -> bool {
    let hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let mut parts = value.split('-');
    let (Some(version), Some(trace), Some(parent), Some(flags)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    (version.len(), trace.len(), parent.len(), flags.len()) == (2, 32, 16, 2)
        && [version, trace, parent, flags].into_iter().all(hex)
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && !zero(trace)
        && !zero(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_form_of_the_standard_is_taken_over() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good));
        for bad in [
            "",
            "00-0-0-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            &good.to_uppercase(),
            &format!("{good}-x"),
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
        assert_eq!(Carried::new(Some("x"), Some("y")), Carried::default());
    }

    #[test]
    fn without_an_exporter_the_context_is_passed_on_as_it_came() {
        let carried = Carried::new(Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), None);
        assert_eq!(carried.onward(&Span::none()), carried);
    }
}
