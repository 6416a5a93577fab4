//! From the tree to what each part of the file says by itself: keys, types, ids. How the parts fit together is for
//! [`super::chain`] to say.

use std::str::FromStr;

use super::fields::{Faults, Fields, Key, Placed, describe, key, place};
use super::yaml::{Node, Value};
use super::{
    EVENTS_MAX, KEY_BYTES_MAX, MAIN_DEFAULT, NAME_BYTES_MAX, PARTITIONS_MAX, Place, QUEUES_MAX, QueueSpec,
    RUNTIMES_MAX, RuntimeSpec, SchemaSpec, TIMEOUT_MS_MAX,
};
use crate::contract::EXPORT_NAME_BYTES_MAX;
use crate::id::{EventId, IdError, JobId, QueueId, RuntimeId, TenantId};
use crate::retry::{ATTEMPTS_MAX, Ordering, Retry, TIERS_MAX, Tier};

const PACKAGE: Key = key("package", "package");
const ID: Key = key("id", "ID");
const NAME: Key = key("name", "name");
const TENANT: Key = key("tenant", "tenant");
const QUEUES: Key = key("queues", "queues");
const JOBS: Key = key("jobs", "jobs");
const RUNTIMES: Key = key("runtimes", "runtimes");
const PARTITIONS: Key = key("partitions", "partitions");
const POOL: Key = key("pool", "pool");
const EVENT: Key = key("event", "event");
const RESULT: Key = key("result", "result");
const OK: Key = key("ok", "ok");
const ERROR: Key = key("error", "error");
const DATATYPE: Key = key("datatype", "dataType");
const SCHEMA: Key = key("schema", "schema");
const SCHEMAREF: Key = key("schemaref", "schemaRef");
const SUPPLIERQUEUE: Key = key("supplierqueue", "supplierQueue");
const RUNTIME: Key = key("runtime", "runtime");
const KEY: Key = key("key", "key");
const MODULEREF: Key = key("moduleref", "moduleRef");
const MAINFUNCNAME: Key = key("mainfuncname", "mainFuncName");
const TYPE: Key = key("type", "type");
const PLATFORM: Key = key("platform", "platform");
const TIMEOUTMS: Key = key("timeoutms", "timeoutMs");
const RETRY: Key = key("retry", "retry");
const ATTEMPTS: Key = key("attempts", "attempts");
const TIERS: Key = key("tiers", "tiers");
const ORDERING: Key = key("ordering", "ordering");

/// What a file says, part by part; what could not be read is none, and noted.
pub struct Draft {
    pub tenant: Option<TenantId>,
    pub job: Option<JobId>,
    pub name: Option<String>,
    pub queues: Vec<QueueSpec>,
    pub jobs: Vec<DraftJob>,
    pub runtimes: Vec<RuntimeSpec>,
    pub retry: Retry,
    /// The ids of all queues and runtimes, of those too that have other faults: a reference to one of them is not wrong.
    pub queue_ids: Vec<Placed<QueueId>>,
    pub runtime_ids: Vec<Placed<RuntimeId>>,
    /// Whether every queue and every runtime has a readable id; only then is a reference known to lead nowhere.
    pub queue_ids_complete: bool,
    pub runtime_ids_complete: bool,
}

/// An event of `jobs` and what its results become.
pub struct DraftJob {
    pub event: DraftEvent,
    pub ok: Option<DraftEvent>,
    pub error: Option<DraftEvent>,
}

/// An event, in `jobs` or in a result.
pub struct DraftEvent {
    pub event: Option<Placed<EventId>>,
    pub name: Option<String>,
    pub queue: Option<Placed<QueueId>>,
    pub schema: Option<SchemaSpec>,
    pub runtime: Option<Placed<RuntimeId>>,
    pub key: Option<String>,
}

/// What the file's one document says. None where it is no mapping at all.
pub fn document(tree: &Node<'_>, faults: &mut Faults) -> Option<Draft> {
    let wrapped = match &tree.value {
        Value::Map(entries) => {
            entries.iter().any(|(key, _)| matches!(&key.value, Value::Text(name) if name == PACKAGE.lower))
        }
        Value::Null | Value::Text(_) | Value::List(_) => false,
    };
    if !wrapped {
        return package(tree, String::new(), Reader { camel: false, faults });
    }
    let outer = Fields::open(tree, String::new(), &[PACKAGE], true, faults)?;
    let (node, at) = outer.required(PACKAGE, faults)?;
    package(node, at.path, Reader { camel: true, faults })
}

fn package(node: &Node<'_>, path: String, mut reader: Reader<'_>) -> Option<Draft> {
    let fields = reader.open(node, path, &[ID, NAME, TENANT, QUEUES, JOBS, RUNTIMES, RETRY])?;
    let tenant = reader.id::<TenantId>(&fields, TENANT).map(|id| id.value);
    let job = reader.id::<JobId>(&fields, ID).map(|id| id.value);
    let name = reader.name(&fields);
    let mut draft = Draft {
        tenant,
        job,
        name,
        queues: Vec::new(),
        jobs: Vec::new(),
        runtimes: Vec::new(),
        retry: reader.retry(&fields),
        queue_ids: Vec::new(),
        runtime_ids: Vec::new(),
        queue_ids_complete: true,
        runtime_ids_complete: true,
    };
    let queues = reader.list(&fields, QUEUES, QUEUES_MAX);
    draft.queue_ids_complete = !queues.is_empty();
    for (node, path) in queues {
        reader.queue(node, path, &mut draft);
    }
    for (node, path) in reader.list(&fields, JOBS, EVENTS_MAX) {
        draft.jobs.extend(reader.job(node, path));
    }
    let runtimes = reader.list(&fields, RUNTIMES, RUNTIMES_MAX);
    draft.runtime_ids_complete = !runtimes.is_empty();
    for (node, path) in runtimes {
        reader.runtime(node, path, &mut draft);
    }
    Some(draft)
}

/// Reads parts of a file, noting what is wrong.
struct Reader<'f> {
    camel: bool,
    faults: &'f mut Faults,
}

impl Reader<'_> {
    fn open<'n, 'a>(&mut self, node: &'n Node<'a>, path: String, known: &[Key]) -> Option<Fields<'n, 'a>> {
        Fields::open(node, path, known, self.camel, self.faults)
    }

    fn queue(&mut self, node: &Node<'_>, path: String, draft: &mut Draft) {
        let Some(fields) = self.open(node, path, &[ID, NAME, PARTITIONS, POOL]) else {
            draft.queue_ids_complete = false;
            return;
        };
        let id = self.id::<QueueId>(&fields, ID);
        let name = self.name(&fields);
        let pool = self.optional_id(&fields, POOL);
        let partitions = self.number(&fields, PARTITIONS, PARTITIONS_MAX);
        let Some(id) = id else {
            draft.queue_ids_complete = false;
            return;
        };
        draft.queue_ids.push(id.clone());
        draft.queues.push(QueueSpec { queue: id.value, name, pool, partitions, place: id.place });
    }

    fn runtime(&mut self, node: &Node<'_>, path: String, draft: &mut Draft) {
        let known = [ID, NAME, MODULEREF, MAINFUNCNAME, TYPE, PLATFORM, TIMEOUTMS];
        let Some(fields) = self.open(node, path, &known) else {
            draft.runtime_ids_complete = false;
            return;
        };
        let id = self.id::<RuntimeId>(&fields, ID);
        let name = self.name(&fields);
        let module = self.id(&fields, MODULEREF);
        let main = self.text(&fields, MAINFUNCNAME, EXPORT_NAME_BYTES_MAX);
        self.zero(&fields, TYPE, "the only type of runtime is 0, WebAssembly");
        self.zero(&fields, PLATFORM, "the only platform is 0, and Jobico makes no use of it; leave it out");
        let timeout_ms = self.number(&fields, TIMEOUTMS, TIMEOUT_MS_MAX);
        match &id {
            Some(id) => draft.runtime_ids.push(id.clone()),
            None => draft.runtime_ids_complete = false,
        }
        if let (Some(id), Some(module)) = (id, module) {
            let (main, main_place) = match main {
                Some(main) => (main.value, main.place),
                None => (MAIN_DEFAULT.to_owned(), module.place.clone()),
            };
            draft.runtimes.push(RuntimeSpec {
                runtime: id.value,
                name,
                moduleref: module.value,
                main,
                timeout_ms,
                place: module.place,
                main_place,
            });
        }
    }

    /// How a job's events are run again; what is left out, or has a fault, is the default's.
    fn retry(&mut self, fields: &Fields<'_, '_>) -> Retry {
        let mut retry = Retry::default();
        let Some((node, at)) = fields.get(RETRY) else { return retry };
        let Some(fields) = self.open(node, at.path, &[ATTEMPTS, TIERS, ORDERING]) else { return retry };
        if let Some(attempts) = self.number(&fields, ATTEMPTS, ATTEMPTS_MAX) {
            retry.attempts = attempts;
        }
        if fields.get(TIERS).is_some() {
            let tiers = self.list(&fields, TIERS, TIERS_MAX);
            let tiers: Vec<Tier> = tiers.into_iter().filter_map(|(node, path)| self.tier(node, path)).collect();
            if !tiers.is_empty() {
                retry.tiers = tiers;
            }
        }
        if let Some(ordering) = self.text(&fields, ORDERING, NAME_BYTES_MAX) {
            match ordering.value.as_str() {
                "none" => retry.ordering = Ordering::None,
                "key" => retry.ordering = Ordering::Key,
                other => self.faults.at(
                    &ordering.place,
                    format!(
                        "'{}' is not known: 'none' lets later events pass one that waits, 'key' keeps them behind it",
                        shortened(other)
                    ),
                ),
            }
        }
        retry
    }

    fn tier(&mut self, node: &Node<'_>, path: String) -> Option<Tier> {
        let at = place(node.mark, path);
        let text = self.scalar(node, &at)?;
        let tier = text.parse();
        if let Err(error) = &tier {
            self.faults.at(&at, format!("'{}' is no wait: {error}", shortened(text)));
        }
        tier.ok()
    }

    fn job(&mut self, node: &Node<'_>, path: String) -> Option<DraftJob> {
        let fields = self.open(node, path, &[EVENT, RESULT])?;
        let event = fields.required(EVENT, self.faults).and_then(|(node, at)| self.event(node, at.path));
        let result = fields.get(RESULT).and_then(|(node, at)| self.open(node, at.path, &[OK, ERROR]));
        let mut side = |key: Key| {
            let (node, at) = result.as_ref()?.get(key)?;
            self.event(node, at.path)
        };
        let (ok, error) = (side(OK), side(ERROR));
        Some(DraftJob { event: event?, ok, error })
    }

    fn event(&mut self, node: &Node<'_>, path: String) -> Option<DraftEvent> {
        let fields = self.open(node, path, &[ID, NAME, DATATYPE, SCHEMA, SUPPLIERQUEUE, RUNTIME, KEY])?;
        let event = self.id(&fields, ID);
        let name = self.name(&fields);
        self.zero(&fields, DATATYPE, "the only data type is 0, JSON");
        let schema = fields.get(SCHEMA).and_then(|(node, at)| self.schema(node, at.path));
        let queue = self.id(&fields, SUPPLIERQUEUE);
        let runtime = self.id(&fields, RUNTIME);
        let key = self.pointer(&fields);
        Some(DraftEvent { event, name, queue, schema, runtime, key })
    }

    fn schema(&mut self, node: &Node<'_>, path: String) -> Option<SchemaSpec> {
        let fields = self.open(node, path, &[ID, NAME, SCHEMAREF])?;
        let id = self.text(&fields, ID, NAME_BYTES_MAX).map(|id| id.value);
        let name = self.name(&fields);
        let schemaref = self.id(&fields, SCHEMAREF)?;
        Some(SchemaSpec { id, name, schemaref: schemaref.value, place: schemaref.place })
    }

    /// The items of a list that must be there and not be empty.
    fn list<'n, 'a>(&mut self, fields: &Fields<'n, 'a>, key: Key, limit: usize) -> Vec<(&'n Node<'a>, String)> {
        let Some((node, at)) = fields.required(key, self.faults) else { return Vec::new() };
        let Value::List(items) = &node.value else {
            self.faults.at(&at, format!("{} is here, and it must be a list", describe(node)));
            return Vec::new();
        };
        if items.is_empty() {
            self.faults.at(&at, "the list is empty, and at least one is needed");
        }
        if items.len() > limit {
            self.faults.at(&at, format!("the list has {} items, {limit} are allowed", items.len()));
        }
        items.iter().take(limit).enumerate().map(|(index, item)| (&**item, format!("{}[{index}]", at.path))).collect()
    }

    fn scalar<'n>(&mut self, node: &'n Node<'_>, at: &Place) -> Option<&'n str> {
        let Value::Text(text) = &node.value else {
            self.faults.at(at, format!("{} is here, and it must be a single value", describe(node)));
            return None;
        };
        Some(text)
    }

    fn parsed_id<T: FromStr<Err = IdError>>(&mut self, node: &Node<'_>, at: Place) -> Option<Placed<T>> {
        let text = self.scalar(node, &at)?;
        match text.parse() {
            Ok(value) => Some(Placed { value, place: at }),
            Err(error) => {
                self.faults.at(&at, format!("'{}' cannot stand here: {error}", shortened(text)));
                None
            }
        }
    }

    fn id<T: FromStr<Err = IdError>>(&mut self, fields: &Fields<'_, '_>, key: Key) -> Option<Placed<T>> {
        let (node, at) = fields.required(key, self.faults)?;
        self.parsed_id(node, at)
    }

    fn optional_id<T: FromStr<Err = IdError>>(&mut self, fields: &Fields<'_, '_>, key: Key) -> Option<T> {
        let (node, at) = fields.get(key)?;
        self.parsed_id(node, at).map(|id| id.value)
    }

    /// An optional text; an empty one is none.
    fn text(&mut self, fields: &Fields<'_, '_>, key: Key, limit: usize) -> Option<Placed<String>> {
        let (node, place) = fields.get(key)?;
        let text = self.scalar(node, &place)?;
        if text.len() > limit {
            self.faults.at(&place, format!("the text has {} bytes, {limit} are allowed", text.len()));
            return None;
        }
        // Escaped in a quoted text; in a catalog record each would take six bytes, in a terminal it may do harm.
        if text.contains(char::is_control) {
            self.faults.at(&place, "the text holds a control character, which no name does");
            return None;
        }
        (!text.is_empty()).then(|| Placed { value: text.to_owned(), place })
    }

    fn name(&mut self, fields: &Fields<'_, '_>) -> Option<String> {
        self.text(fields, NAME, NAME_BYTES_MAX).map(|name| name.value)
    }

    /// An optional whole number from 1 to `limit`.
    fn number(&mut self, fields: &Fields<'_, '_>, key: Key, limit: u32) -> Option<u32> {
        let (node, at) = fields.get(key)?;
        let text = self.scalar(node, &at)?;
        let number = text.parse().ok().filter(|number| (1..=limit).contains(number));
        if number.is_none() {
            self.faults.at(&at, format!("'{}' must be a whole number from 1 to {limit}", shortened(text)));
        }
        number
    }

    /// An optional number of which 0 alone is known.
    fn zero(&mut self, fields: &Fields<'_, '_>, key: Key, rule: &str) {
        let Some((node, at)) = fields.get(key) else { return };
        let Some(text) = self.scalar(node, &at) else { return };
        if text != "0" {
            self.faults.at(&at, format!("'{}' is not known: {rule}", shortened(text)));
        }
    }

    /// An event's `key`: a JSON pointer (RFC 6901) to a part of the event.
    fn pointer(&mut self, fields: &Fields<'_, '_>) -> Option<String> {
        let key = self.text(fields, KEY, KEY_BYTES_MAX)?;
        let escapes_are_right = key.value.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if !key.value.starts_with('/') || !escapes_are_right {
            let rule =
                "must be a JSON pointer: it begins with '/', and '~' and '/' within a name are written ~0 and ~1";
            self.faults.at(&key.place, format!("'{}' {rule}", shortened(&key.value)));
            return None;
        }
        Some(key.value)
    }
}

/// The beginning of a text that may be long, to be quoted in a message.
fn shortened(text: &str) -> String {
    const QUOTED_CHARACTERS_MAX: usize = 80;
    let mut beginning: String = text.chars().take(QUOTED_CHARACTERS_MAX).collect();
    if beginning.len() < text.len() {
        beginning.push('…');
    }
    beginning
}
