//! Whether a process can do its work, component by component.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

/// The components of a process. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<Name, State>>>);

/// A component's name.
type Name = Cow<'static, str>;

/// How a component does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is not up yet.
    Starting,
    /// It works.
    Ready,
    /// It does not, and why. It recovers by itself.
    Failing(String),
}

/// A component's handle on its own state.
#[derive(Debug, Clone)]
pub struct Component {
    health: Health,
    name: Name,
}

/// What `/readyz` answers.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `ready` or `unready`.
    pub status: &'static str,
    /// Each component: `ready`, `starting`, or what is wrong.
    pub components: BTreeMap<Name, String>,
    /// When it was asked, seconds since 1970.
    pub at: u64,
}

impl Health {
    /// Adds a component, which is not ready yet.
    #[must_use]
    pub fn component(&self, name: impl Into<Name>) -> Component {
        let component = Component { health: self.clone(), name: name.into() };
        component.set(State::Starting);
        component
    }

    /// How all components do; ready when each is.
    #[must_use]
    pub fn report(&self) -> Report {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = states.values().all(|state| *state == State::Ready);
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Report {
            status: if ready { "ready" } else { "unready" },
            components: states.iter().map(|(name, state)| (name.clone(), state.to_string())).collect(),
            at,
        }
    }

    /// Whether each component is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.report().status == "ready"
    }
}

impl Component {
    /// It works.
    pub fn ready(&self) {
        self.set(State::Ready);
    }

    /// It does not, for now.
    pub fn failing(&self, why: impl std::fmt::Display) {
        self.set(State::Failing(why.to_string()));
    }

    /// Sets the state, and logs a change: failing is a warning, since it recovers by itself.
    fn set(&self, state: State) {
        let before = {
            let mut states = self.health.0.lock().unwrap_or_else(PoisonError::into_inner);
            states.insert(self.name.clone(), state.clone())
        };
        if before.as_ref() == Some(&state) {
            return;
        }
        match state {
            State::Failing(why) => tracing::warn!(component = %self.name, %why, "not ready"),
            State::Ready => tracing::info!(component = %self.name, "ready"),
            State::Starting => {}
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Ready => f.write_str("ready"),
            Self::Failing(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_each_component_is() {
        let health = Health::default();
        let (log, store) = (health.component("log"), health.component("store"));
        log.ready();
        assert!(!health.is_ready());
        store.ready();
        assert!(health.is_ready());
        store.failing("connection refused");
        let report = health.report();
        assert_eq!((report.status, report.components["store"].as_str()), ("unready", "connection refused"));
    }
}
