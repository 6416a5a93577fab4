//! The same events out of one queue of six partitions, and out of a thousand queues of one: what many queues cost.
//!
//! All are the example tenant's, with the example's function and schema, and their results go to the one topic. The thousand
//! are in a pool of their own, so that neither processor reads what is the other's. Measured in turn, each with a new one.

use std::ffi::OsStr;
use std::fmt::Write as _;

use jobico_event::{QueueId, TenantId, name};

use crate::drain::Drains;
use crate::kafka::Topics;
use crate::processor::{drain, drain_with, warm};
use crate::report::{Better, Ratio, Report};
use crate::system::{Lab, TENANT};
use crate::{Failure, say};

/// The pool of the many.
const POOL: &str = "many";
/// Job files, and queues in each; a job has at most a hundred.
const JOBS: u32 = 10;
const QUEUES_OF_JOB: u32 = 100;
/// What of the pace of one queue many must keep: it is to be flat.
const REACH: f64 = 0.9;

/// Measures many against one.
pub fn measure(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    warm(lab)?;
    let queues = set_up(lab)?;
    let (mut many, mut one) = (Drains::default(), Drains::default());
    let group = name::processor_group(POOL);
    let how = format!("1 worker, {} queues", queues.names.len());
    for pair in lab.pairs("queues") {
        pair.say();
        let start = || lab.start("processor", &["--workers", "1", "--pool", POOL]);
        many.push(drain_with(lab, &how, &group, &queues, start)?);
        one.push(drain(lab, 1)?);
    }
    lab.check_nothing_died()?;
    let what = format!("processor, {how}");
    let rates = many.rates().into_iter().zip(one.rates()).collect();
    report.ratio(Ratio::new("queues", &what, "1 queue", "events/s", Better::Higher, rates).reaching(REACH));
    many.report("queues", &what, report);
    Ok(())
}

/// Deploys the jobs, and fills the queues. Their topics are made first, as the others are.
fn set_up(lab: &Lab) -> Result<Topics, Failure> {
    let tenant = TenantId::new(TENANT)?;
    let mut topics = Topics { names: Vec::new(), partitions: 1 };
    for job in 0..JOBS {
        let queues: Vec<String> = (0..QUEUES_OF_JOB).map(|queue| format!("many-{job}-{queue}")).collect();
        for queue in &queues {
            topics.names.push(name::queue(&tenant, &QueueId::new(queue)?));
        }
        let made = Topics { names: topics.names[topics.names.len() - queues.len()..].to_vec(), partitions: 1 };
        lab.cluster.create_topics(&made)?;
        let file = lab.scratch_file("many.yaml", job_file(job, &queues)?.as_bytes())?;
        lab.tool(&[OsStr::new("deploy"), file.as_ref()])?;
    }
    say(&format!("filling {} queues with {} events", topics.names.len(), lab.events()));
    lab.cluster.preload(&topics, lab.events())?;
    Ok(topics)
}

fn job_file(job: u32, queues: &[String]) -> Result<String, Failure> {
    let mut file = format!("id: many-{job}\ntenant: {TENANT}\nqueues:\n");
    for queue in queues {
        writeln!(file, "  - {{id: {queue}, partitions: 1, pool: {POOL}}}")?;
    }
    file.push_str("jobs:\n");
    for queue in queues {
        writeln!(
            file,
            "  - event: {{id: {queue}, supplierqueue: {queue}, runtime: r, schema: {{id: s, schemaref: customer.json}}}}"
        )?;
    }
    file.push_str("runtimes:\n  - {id: r, moduleref: customer.wasm, mainfuncname: event}\n");
    Ok(file)
}
