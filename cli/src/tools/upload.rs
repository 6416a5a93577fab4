//! `jobico upload wasm|json TENANT NAME FILE`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jobico_event::{FileName, TenantId};
use reqwest::Method;
use serde_json::Value;

use super::Target;
use super::client::{self, Client};
use super::output::{self, Format, cell};
use crate::exit::Error;

/// Upload a module or a schema under a name.
#[derive(Debug, Subcommand)]
pub enum Upload {
    /// A WebAssembly module: what a job file's `moduleref` names.
    #[command(after_help = "Example:\n  jobico upload wasm my-tenant-1 customer.wasm target/customer.wasm")]
    Wasm(File),
    /// A JSON Schema: what a job file's `schemaref` names.
    #[command(after_help = "Example:\n  jobico upload json my-tenant-1 customer.json schemas/customer.json")]
    Json(File),
}

/// What to upload.
#[derive(Debug, Args)]
pub struct File {
    /// The tenant; it is made where it is new.
    tenant: TenantId,
    /// The name.
    name: FileName,
    /// The file; - reads standard input.
    file: PathBuf,
    #[command(flatten)]
    target: Target,
}

/// Uploads.
pub async fn run(upload: Upload) -> Result<(), Error> {
    let (file, kind, content_type) = match upload {
        Upload::Wasm(file) => (file, "functions", "application/wasm"),
        Upload::Json(file) => (file, "schemas", "application/schema+json"),
    };
    let body = client::read(&file.file)?;
    let client = Client::new("registry", &file.target.registry)?;
    let request = client
        .request(Method::PUT, &format!("/v1/tenants/{}/{kind}/{}", file.tenant, file.name))
        .header("content-type", content_type)
        .body(body);
    let answer: Value = client.json(request).await?;
    match file.target.output {
        Format::Json => output::json(&answer),
        Format::Table => {
            let which = match kind {
                "functions" => format!("sha256 {}", cell(&answer, "digest")),
                _ => format!("schema id {}", cell(&answer, "id")),
            };
            output::line(&format!("{}/{} version {}, {which}", file.tenant, file.name, cell(&answer, "version")))
        }
    }
}
