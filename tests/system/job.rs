//! Jobs made for a test.

use super::example;

/// A job of several events, each with a function; all on one queue unless it says otherwise.
#[derive(Debug, Clone)]
pub struct Job {
    id: String,
    partitions: u32,
    events: Vec<Event>,
    pub schemas: Vec<(String, String)>,
    pub modules: Vec<(String, Vec<u8>)>,
}

#[derive(Debug, Clone)]
struct Event {
    id: String,
    queue: String,
    module: String,
    schema: Option<String>,
    key: Option<String>,
    timeout_ms: u32,
}

impl Job {
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), partitions: 3, events: Vec::new(), schemas: Vec::new(), modules: Vec::new() }
    }

    /// An event on `queue`, handled by a module of processor/tests/modules.
    pub fn event(mut self, event: &str, queue: &str, module: &str) -> Self {
        self.modules.push((format!("{module}.wasm"), example::test_module(module)));
        self.events.push(Event {
            id: event.to_owned(),
            queue: queue.to_owned(),
            module: format!("{module}.wasm"),
            schema: None,
            key: None,
            timeout_ms: 1_000,
        });
        self
    }

    fn last(&mut self) -> &mut Event {
        self.events.last_mut().expect("an event comes first")
    }

    /// The last event is checked against this schema.
    pub fn schema(mut self, text: &str) -> Self {
        let name = format!("{}.json", self.last().id);
        self.last().schema = Some(name.clone());
        self.schemas.push((name, text.to_owned()));
        self
    }

    /// The last event's key is at this JSON pointer.
    pub fn key(mut self, pointer: &str) -> Self {
        self.last().key = Some(pointer.to_owned());
        self
    }

    /// The last event's function may take so long.
    pub fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.last().timeout_ms = timeout_ms;
        self
    }

    pub fn events(&self) -> impl Iterator<Item = &str> {
        self.events.iter().map(|event| event.id.as_str())
    }

    /// The job file.
    pub fn yaml(&self, tenant: &str, pool: &str) -> String {
        let mut queues: Vec<&str> = self.events.iter().map(|event| event.queue.as_str()).collect();
        queues.sort_unstable();
        queues.dedup();
        let mut yaml = format!("id: {}\ntenant: {tenant}\nqueues:\n", self.id);
        for queue in queues {
            yaml.push_str(&format!("  - {{id: {queue}, pool: {pool}, partitions: {}}}\n", self.partitions));
        }
        yaml.push_str("jobs:\n");
        for event in &self.events {
            yaml.push_str(&format!(
                "  - event:\n      id: {}\n      supplierqueue: {}\n      runtime: {}\n",
                event.id, event.queue, event.id
            ));
            if let Some(schema) = &event.schema {
                yaml.push_str(&format!("      schema: {{schemaref: {schema}}}\n"));
            }
            if let Some(key) = &event.key {
                yaml.push_str(&format!("      key: {key}\n"));
            }
        }
        yaml.push_str("runtimes:\n");
        for event in &self.events {
            yaml.push_str(&format!(
                "  - {{id: {}, moduleref: {}, timeoutms: {}}}\n",
                event.id, event.module, event.timeout_ms
            ));
        }
        yaml
    }
}
