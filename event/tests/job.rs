//! Job files: both spellings, and every fault with its place.

use jobico_event::job::{self, Fault, JobFile, Place};

/// The file of the guide, lower-case keys.
const LOWER: &str = "\
name: Customer events
id: customer-proc-jobs
tenant: my-tenant-1
queues:
  - id: queue-default
    name: Default to all events
  - {id: q2, partitions: 6, pool: heavy}
  - id: q3
jobs:
  - event:
      name: New customer
      id: customer-registration
      datatype: 0
      schema: {id: s1, name: Customer, schemaref: customer.json}
      supplierqueue: queue-default
      runtime: wasm-runtime-customer
      key: /customer/id
    result:
      ok:    {id: registered, name: Done, datatype: 0, schema: null, supplierqueue: q2, runtime: r2}
      error: {id: rejected, name: Not done, datatype: 0, schema: null, supplierqueue: q3, runtime: r2}
runtimes:
  - {id: wasm-runtime-customer, name: Customers, moduleref: customer.wasm, mainfuncname: event, type: 0}
  - {id: r2, moduleref: r2.wasm, timeoutms: 2500}
";

/// The same in the spelling with the wrapper.
const CAMEL: &str = "\
package:
  ID: customer-proc-jobs
  name: Customer events
  tenant: my-tenant-1
  queues:
  - ID: queue-default
    name: Default to all events
  - ID: q2
    partitions: 6
    pool: heavy
  - ID: q3
  jobs:
  - event:
      ID: customer-registration
      name: New customer
      dataType: 0
      schema:
        ID: s1
        name: Customer
        schemaRef: customer.json
      supplierQueue: queue-default
      runtime: wasm-runtime-customer
      key: /customer/id
    result:
      ok:
        ID: registered
        name: Done
        dataType: 0
        schema: null
        supplierQueue: q2
        runtime: r2
      error:
        ID: rejected
        name: Not done
        dataType: 0
        schema: null
        supplierQueue: q3
        runtime: r2
  runtimes:
  - ID: wasm-runtime-customer
    name: Customers
    moduleRef: customer.wasm
    mainFuncName: event
    type: 0
    platform: 0
  - ID: r2
    moduleRef: r2.wasm
    timeoutMs: 2500
";

/// The file without what only says where things stand.
fn meaning(text: &str) -> JobFile {
    let mut file = job::parse(text).unwrap_or_else(|faults| panic!("{faults:#?}"));
    file.source = String::new();
    file.queues.iter_mut().for_each(|queue| queue.place = Place::default());
    for event in &mut file.events {
        event.place = Place::default();
        event.schema.iter_mut().for_each(|schema| schema.place = Place::default());
    }
    for runtime in &mut file.runtimes {
        runtime.place = Place::default();
        runtime.main_place = Place::default();
    }
    file
}

/// The faults of a file, as the user sees them.
fn faults(text: &str) -> Vec<String> {
    job::parse(text).unwrap_err().iter().map(Fault::to_string).collect()
}

#[test]
fn a_fault_is_reported_with_line_column_and_path() {
    let text = LOWER.replace("id: queue-default", "id: queue.default");
    assert_eq!(
        faults(&text)[0],
        "line 5, column 9: queues[0].id: 'queue.default' cannot stand here: '.' at position 6 is not allowed; allowed are \
         letters, digits, '-' and '_'"
    );
}

#[test]
fn the_two_spellings_say_the_same() {
    assert_eq!(meaning(LOWER), meaning(CAMEL));
}
