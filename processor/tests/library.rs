//! Modules from their digest: compiled once, kept on disk, and compiled where it holds nobody up.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jobico_catalog::{Artifacts, artifact};
use jobico_event::{Digest, TenantId};
use jobico_processor::compile::{Allowance, Program};
use jobico_processor::config::Limits;
use jobico_processor::function::cache::Found;
use jobico_processor::function::fault::Kind;
use jobico_processor::function::{Cache, Engine, Fault, Instance, Module};
use jobico_processor::library::{Library, Lookup};
use jobico_processor::metrics::Metrics;
use tempfile::TempDir;

use crate::functions::{DEADLINE, binary, called, compiler, limits};

/// The longest wait for anything; what is there is returned at once.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A processor's modules, from a start to its end.
#[derive(Clone)]
struct Start {
    library: Library,
    metrics: Metrics,
    tenant: TenantId,
}

impl Start {
    fn new(data_dir: &Path, artifacts: &Path, limits: &Limits) -> Self {
        let metrics = Metrics::register(&prometheus::Registry::new(), "p").unwrap();
        let artifacts = Artifacts::in_folder(artifacts.to_owned());
        let library = Library::new(limits, 1, artifacts, data_dir, compiler(), metrics.clone()).unwrap();
        Self { library, metrics, tenant: TenantId::new("t").unwrap() }
    }

    /// Asks until the library says something else than that it is busy.
    async fn settled(&self, digest: &Digest) -> Lookup {
        let asked = async {
            loop {
                match self.library.look_up(&self.tenant, digest) {
                    Lookup::Preparing => tokio::time::sleep(Duration::from_millis(1)).await,
                    settled => return settled,
                }
            }
        };
        tokio::time::timeout(WAIT_MAX, asked).await.expect("the module is never settled")
    }

    async fn module(&self, digest: &Digest) -> Arc<Module> {
        match self.settled(digest).await {
            Lookup::Ready(module) => module,
            Lookup::Broken(fault) => panic!("{fault}"),
            Lookup::Preparing => unreachable!("it is settled"),
        }
    }

    fn cache(&self, outcome: &str) -> u64 {
        self.metrics.module_cache.with_label_values(&[outcome]).get()
    }

    /// Misses, unusable files, hits, compilations.
    fn counts(&self) -> [u64; 4] {
        let compiled = self.metrics.compile_seconds.get_sample_count();
        [self.cache("miss"), self.cache("unusable"), self.cache("hit"), compiled]
    }
}

fn echoes(module: &Module) -> bool {
    let mut instance = Instance::new(module, "event", &limits(), DEADLINE).unwrap();
    called(&mut instance, "\"hello\"") == Ok((0, Some("\"hello\"".to_owned())))
}

/// Waits until a file is there.
async fn until_kept(cache: &Cache, digest: &Digest) {
    until(|| matches!(cache.load(digest), Found::Hit(_))).await;
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, wait).await.expect("it never comes to that");
}

/// A data folder, with `echo.wat` among its artifacts, and a look at its cache of compiled modules.
struct Shop {
    folder: TempDir,
    digest: Digest,
    cache: Cache,
}

impl Shop {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binary = binary("echo.wat");
        let digest = Digest::of(&binary);
        artifact::store(&folder.path().join("artifacts"), &digest, &binary).await.unwrap();
        let cache = Cache::open(&folder.path().join("compiled"), 1 << 30, &Engine::new(&limits()).unwrap()).unwrap();
        Self { folder, digest, cache }
    }

    /// Puts a module among the artifacts.
    async fn stock(&self, binary: &[u8]) -> Digest {
        let digest = Digest::of(binary);
        artifact::store(&self.folder.path().join("artifacts"), &digest, binary).await.unwrap();
        digest
    }

    fn start(&self) -> Start {
        self.start_with(limits().compile)
    }

    /// A start that has this much to compile a module.
    fn start_with(&self, compile: Allowance) -> Start {
        Start::new(self.folder.path(), &self.folder.path().join("artifacts"), &Limits { compile, ..limits() })
    }

    /// A start that compiles what the cache has not, and ends when that is kept.
    async fn start_and_keep(&self) -> Start {
        let start = self.start();
        assert!(echoes(&*start.module(&self.digest).await));
        until_kept(&self.cache, &self.digest).await;
        start
    }
}

#[tokio::test]
async fn a_second_start_compiles_nothing_and_needs_no_registry() {
    let shop = Shop::new().await;
    let first = shop.start_and_keep().await;
    assert_eq!(first.counts(), [1, 0, 0, 1]);
    std::fs::remove_dir_all(shop.folder.path().join("artifacts")).unwrap();
    let second = shop.start();
    assert!(echoes(&*second.module(&shop.digest).await));
    assert_eq!(second.counts(), [0, 0, 1, 0]);
}

#[tokio::test]
async fn what_is_foreseen_is_compiled_once_and_read_when_it_is_needed() {
    let shop = Shop::new().await;
    let first = shop.start();
    first.library.foresee(&first.tenant, &shop.digest);
    until_kept(&shop.cache, &shop.digest).await;
    assert!(echoes(&*first.module(&shop.digest).await));
    assert_eq!(first.counts(), [1, 0, 0, 1]);

    let digest = shop.stock(&binary("log.wat")).await;
    let second = shop.start();
    second.library.foresee(&second.tenant, &shop.digest);
    second.library.foresee(&second.tenant, &digest);
    until_kept(&shop.cache, &digest).await;
    assert_eq!(second.counts(), [1, 0, 0, 1], "the first one is on the disk, and is left there");
    assert!(echoes(&*second.module(&shop.digest).await));
    assert_eq!(second.counts(), [1, 0, 1, 1]);
}

#[tokio::test]
async fn nobody_else_may_read_or_write_what_is_compiled() {
    let shop = Shop::new().await;
    shop.start_and_keep().await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let file = shop.cache.path(&shop.digest);
    assert_eq!((mode(file.parent().unwrap()), mode(&file)), (0o700, 0o600));
}

#[tokio::test]
async fn a_file_that_is_damaged_or_foreign_is_never_used_and_made_anew() {
    let shop = Shop::new().await;
    shop.start_and_keep().await;
    let file = shop.cache.path(&shop.digest);
    let good = std::fs::read(&file).unwrap();
    let text = String::from_utf8_lossy(&good[..18 + 3 * 65]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines[3]), ("jobico-compiled 1", shop.digest.to_string().as_str()));
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    /// A file with a sum that is right, of another engine or of another module.
    fn sealed(good: &[u8], line: &str, other: &str) -> Vec<u8> {
        let place = good.windows(line.len()).position(|window| window == line.as_bytes()).unwrap();
        let mut bytes = good.to_vec();
        bytes[place..place + other.len()].copy_from_slice(other.as_bytes());
        let sum = Digest::of(&bytes[18 + 65..]).to_string();
        bytes[18..18 + 64].copy_from_slice(sum.as_bytes());
        bytes
    }
    let other = "0".repeat(64);
    let damages = [
        ("a bit of its code", flipped(good.len() - 100)),
        ("a bit of its sum", flipped(20)),
        ("cut short", good[..good.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("another engine's", sealed(&good, lines[2], &other)),
        ("another module's", sealed(&good, lines[3], &other)),
        ("its own sum, and no code", sealed(&good[..300], lines[3], lines[3])),
        ("writable by others", good.clone()),
    ];
    for (what, bytes) in damages {
        std::fs::write(&file, bytes).unwrap();
        if what == "writable by others" {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o660)).unwrap();
        }
        assert!(matches!(shop.cache.load(&shop.digest), Found::Unusable), "{what}");
        let start = shop.start_and_keep().await;
        assert_eq!(start.counts(), [0, 1, 0, 1], "{what}");
        assert_eq!(shop.start_and_keep().await.counts(), [0, 0, 1, 0], "{what}: it was made anew");
    }
}

#[tokio::test]
async fn without_a_folder_modules_are_compiled_at_each_start() {
    let shop = Shop::new().await;
    let blocked = shop.folder.path().join("data");
    std::fs::create_dir(&blocked).unwrap();
    std::fs::write(blocked.join("compiled"), "a file where the folder should be").unwrap();
    let start = Start::new(&blocked, &shop.folder.path().join("artifacts"), &limits());
    assert!(echoes(&*start.module(&shop.digest).await));
    assert_eq!(start.counts(), [0, 0, 0, 1]);
}

#[test]
fn several_writers_and_readers_of_one_file_see_it_whole() {
    let folder = tempfile::tempdir().unwrap();
    let binary = binary("echo.wat");
    let digest = Digest::of(&binary);
    // Each has what a process of its own would have; they share the folder alone.
    let open = || {
        let engine = Engine::new(&limits()).unwrap();
        let module = Module::compile(&engine, &binary).unwrap();
        (Cache::open(folder.path(), 1 << 20, &engine).unwrap(), module)
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (cache, module) = open();
                for _ in 0..25 {
                    cache.keep(&digest, &module.seal(&digest).unwrap()).unwrap();
                    match cache.load(&digest) {
                        Found::Hit(module) => assert!(echoes(&module)),
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing partial is left");
}

#[test]
fn the_cache_keeps_what_was_used_last() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), Engine::new(&limits()).unwrap());
    let module = Module::compile(&engine, &binary("echo.wat")).unwrap();
    let digests: Vec<Digest> = (0..6u8).map(|index| Digest::of(&[index])).collect();
    let roomy = Cache::open(folder.path(), 1 << 30, &engine).unwrap();
    for (index, digest) in (0..).zip(&digests) {
        roomy.keep(digest, &module.seal(digest).unwrap()).unwrap();
        // Long ago, each a second after the one before it.
        let file = std::fs::File::options().append(true).open(roomy.path(digest)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(1_000 - index)).unwrap();
    }
    std::fs::write(folder.path().join("mine"), [0; 100_000]).unwrap();
    std::fs::write(folder.path().join(".partial-new"), "").unwrap();
    std::fs::write(folder.path().join(".partial-old"), "").unwrap();
    let old = std::fs::File::options().append(true).open(folder.path().join(".partial-old")).unwrap();
    old.set_modified(std::time::SystemTime::now() - Duration::from_secs(7_200)).unwrap();
    let there = || digests.iter().map(|digest| roomy.path(digest).exists()).collect::<Vec<_>>();
    assert!(matches!(roomy.load(&digests[0]), Found::Hit(_)), "the oldest is used again");

    let bytes = roomy.path(&digests[0]).metadata().unwrap().len();
    let tight = Cache::open(folder.path(), 6 * bytes, &engine).unwrap();
    assert_eq!(there(), [true; 6]);
    assert!(folder.path().join(".partial-new").exists() && !folder.path().join(".partial-old").exists());
    let one_more = Digest::of(b"one more");
    tight.keep(&one_more, &module.seal(&one_more).unwrap()).unwrap();
    assert_eq!(there(), [true, false, false, false, true, true], "down to three quarters");
    assert!(folder.path().join("mine").exists());
}

/// A module that takes about a second to compile for each of its functions: all values of one live until its end.
fn slow_to_compile(functions: usize) -> Vec<u8> {
    const VALUES: usize = 1_500;
    let mut text = String::from("(module (memory 100)");
    for function in 0..functions {
        write!(text, "(func (export \"f{function}\") (param i32 i32 i32)").unwrap();
        text.push_str(&"(local i64)".repeat(VALUES));
        for value in 0..VALUES {
            write!(text, "(local.set {} (i64.load (i32.const {})))", value + 3, value * 8).unwrap();
        }
        for value in 0..VALUES {
            write!(
                text,
                "(if (i32.wrap_i64 (local.get {})) (then (i64.store (i32.const {}) (local.get {}))))",
                value + 3,
                value * 8,
                (value * 7919) % VALUES + 3
            )
            .unwrap();
        }
        text.push(')');
    }
    text.push(')');
    wat::parse_str(text).unwrap()
}

/// Has a library with that allowance asked for a module; and for another tenant's, which is to be had whatever the first does.
async fn compiled_within(binary: &[u8], compile: Allowance) -> Result<Arc<Module>, Fault> {
    let shop = Shop::new().await;
    let digest = shop.stock(binary).await;
    let start = shop.start_with(compile);
    let compiled = match start.settled(&digest).await {
        Lookup::Ready(module) => Ok(module),
        Lookup::Broken(fault) => Err(fault),
        Lookup::Preparing => unreachable!("it is settled"),
    };
    let neighbour = Start { tenant: TenantId::new("neighbour").unwrap(), ..start.clone() };
    assert!(echoes(&*neighbour.module(&shop.digest).await));
    if compiled.is_ok() {
        until_kept(&shop.cache, &digest).await;
    }
    compiled
}

#[tokio::test]
async fn a_module_that_takes_too_long_to_compile_is_too_expensive() {
    let compile = Allowance { time: Duration::from_millis(200), ..limits().compile };
    let fault = compiled_within(&slow_to_compile(1), compile).await.unwrap_err();
    assert_eq!((fault.kind, fault.cause().code), (Kind::Expensive, "expensive"));
    assert_eq!(fault.message, "it is too expensive to compile: that takes more than 200ms of CPU time");
}

#[tokio::test]
async fn a_module_that_takes_too_much_memory_to_compile_is_too_expensive() {
    let slow = slow_to_compile(1);
    let compile = Allowance { memory_bytes: 48 << 20, ..limits().compile };
    let fault = compiled_within(&slow, compile).await.unwrap_err();
    assert_eq!((fault.kind, fault.cause().code), (Kind::Expensive, "expensive"));
    let words =
        "it is too expensive to compile: that takes more than 48 MiB of memory, or more stack than there is (signal: 6";
    assert!(fault.message.starts_with(words), "{fault}");
    compiled_within(&slow, Allowance { memory_bytes: 1 << 30, ..compile }).await.unwrap();
}

#[tokio::test]
async fn a_slow_module_is_compiled_beside_quick_ones() {
    let shop = Shop::new().await;
    let digest = shop.stock(&slow_to_compile(10)).await;
    let start = shop.start_with(Allowance { time: Duration::from_secs(24), ..limits().compile });
    assert!(matches!(start.library.look_up(&start.tenant, &digest), Lookup::Preparing));
    // It was tried, and gave up its place.
    until(|| start.metrics.compile_seconds.get_sample_count() == 1).await;
    let neighbour = Start { tenant: TenantId::new("neighbour").unwrap(), ..start.clone() };
    assert!(echoes(&*neighbour.module(&shop.digest).await));
    assert_eq!(start.metrics.compile_seconds.get_sample_count(), 2, "the slow one is being compiled still");
    start.module(&digest).await;
    assert_eq!(start.counts(), [2, 0, 0, 3]);
}

#[tokio::test]
async fn what_is_foreseen_and_slow_holds_up_nothing_that_is_foreseen_after_it() {
    let shop = Shop::new().await;
    let digest = shop.stock(&slow_to_compile(10)).await;
    let start = shop.start_with(Allowance { time: Duration::from_secs(24), ..limits().compile });
    for foreseen in [&digest, &shop.digest] {
        start.library.foresee(&start.tenant, foreseen);
    }
    until_kept(&shop.cache, &shop.digest).await;
    assert!(!shop.cache.has(&digest), "it comes last");
    until_kept(&shop.cache, &digest).await;
    assert_eq!(start.metrics.compile_seconds.get_sample_count(), 4, "twice in the quick lane");
}

#[tokio::test]
async fn what_is_no_module_is_told_as_the_compiler_tells_it() {
    let fault = compiled_within(b"\0asm\x01\0\0\0\xff", limits().compile).await.unwrap_err();
    assert_eq!((fault.kind, fault.cause().code), (Kind::Module, "module"));
    assert_eq!(fault.message, "failed to parse WebAssembly module: malformed section id (at offset 0x8)");
}

#[tokio::test]
async fn a_module_whose_compiler_cannot_be_started_is_not_to_blame_nor_is_one_that_was_killed_twice() {
    let shop = Shop::new().await;
    let artifacts = shop.folder.path().join("artifacts");
    let metrics = Metrics::register(&prometheus::Registry::new(), "p").unwrap();
    let tenant = TenantId::new("t").unwrap();
    for program in ["killed", "missing"] {
        let path = shop.folder.path().join(program);
        if program == "killed" {
            std::fs::write(&path, "#!/bin/sh\nkill -9 $$\n").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        let (compiler, folder) = (Program::at(&path), Artifacts::in_folder(artifacts.clone()));
        let library = Library::new(&limits(), 1, folder, shop.folder.path(), compiler, metrics.clone()).unwrap();
        assert!(matches!(library.look_up(&tenant, &shop.digest), Lookup::Preparing));
        until(|| library.settled() == 1).await;
        assert!(
            matches!(library.look_up(&tenant, &shop.digest), Lookup::Preparing),
            "{program}: it is asked for again"
        );
        until(|| library.settled() == 2).await;
        assert!(matches!(library.look_up(&tenant, &shop.digest), Lookup::Preparing), "{program}: and again");
        until(|| library.settled() == 3).await;
        match (program, library.look_up(&tenant, &shop.digest)) {
            ("killed", Lookup::Broken(fault)) => assert_eq!(
                fault.message,
                "it is too expensive to compile: that takes so much that its process was killed 3 times, most likely for its \
                 memory"
            ),
            ("missing", Lookup::Preparing) => {}
            (program, _) => panic!("{program} is settled otherwise"),
        }
    }
    // A start that has a compiler has the module.
    assert!(echoes(&*shop.start().module(&shop.digest).await));
}
