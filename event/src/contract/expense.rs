//! What a module costs its compiler, counted while it is validated, a function at a time.
//!
//! Time and memory of a compiler are not linear in the size of a function: they grow with how many values live at once,
//! times through how many places of the function each is carried. Both are counted, and their product.

use std::collections::BTreeMap;

use wasmparser::types::Types;
use wasmparser::{
    BlockType, ElementItems, ElementSectionReader, ExternalKind, FuncToValidate, FuncValidator,
    FuncValidatorAllocations, FunctionBody, KnownCustom, Name, Operator, OperatorsReader, Parser, Payload,
    ValidPayload, Validator, ValidatorResources, WasmModuleResources,
};

use super::{
    BLOCKS_MAX, BLOCKS_VALUES_MAX, BODY_BYTES_MAX, CARRIED_VALUES_MAX, ELEMENT_SEGMENTS_MAX, EXPORT_NAME_BYTES_MAX,
    FAULTS_MAX, FEATURES, Fault, LOCALS_MAX, LOOPS_NESTED_MAX, STACK_VALUES_MAX, TABLE_ELEMENTS_MAX, TABLE_TARGETS_MAX,
};

/// Validates a module, and holds its functions against what a processor compiles. Nothing is said of a module that is not
/// valid but that.
pub(super) fn validate(module: &[u8]) -> Result<(Types, Vec<Fault>), wasmparser::Error> {
    let mut validator = Validator::new_with_features(FEATURES);
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    let (mut functions, mut all) = (Vec::new(), None);
    let mut elements = Elements::default();
    for payload in parser.parse_all(module) {
        let payload = payload?;
        match validator.payload(&payload)? {
            ValidPayload::Func(function, body) => functions.push((function, body)),
            ValidPayload::End(types) => all = Some(types),
            ValidPayload::Ok | ValidPayload::Parser(_) => {}
        }
        if let Payload::ElementSection(section) = payload {
            elements.add(section)?;
        }
    }
    let mut allocations = FuncValidatorAllocations::default();
    let mut excesses = Vec::new();
    for (function, body) in functions {
        let index = function.index;
        let (count, reused) = Count::of(function, &body, allocations)?;
        allocations = reused;
        excesses.extend(count.excesses().map(|excess| (index, excess)));
    }
    excesses.truncate(FAULTS_MAX);
    let names = if excesses.is_empty() { BTreeMap::new() } else { names(module) };
    let faults = excesses.into_iter().map(|(function, (what, found, limit))| {
        let name = names.get(&function).cloned();
        Fault::Function { function, name, what, found, limit }
    });
    Ok((all.expect("what was parsed to its end has an end"), elements.faults().chain(faults).collect()))
}

/// What tables are filled with, at their start or by `table.init`. The compiler makes one function of all segments together.
#[derive(Default)]
struct Elements {
    segments: u64,
    entries: u64,
}

impl Elements {
    fn add(&mut self, section: ElementSectionReader<'_>) -> Result<(), wasmparser::Error> {
        for element in section {
            self.segments += 1;
            self.entries += match element?.items {
                ElementItems::Functions(functions) => u64::from(functions.count()),
                ElementItems::Expressions(_, expressions) => u64::from(expressions.count()),
            };
        }
        Ok(())
    }

    fn faults(&self) -> impl Iterator<Item = Fault> {
        let all = [
            ("segments of elements", self.segments, ELEMENT_SEGMENTS_MAX),
            ("elements in segments", self.entries, TABLE_ELEMENTS_MAX),
        ];
        all.into_iter().filter(|(_, found, limit)| found > limit).map(|(what, found, limit)| Fault::Limit {
            what,
            found,
            limit,
        })
    }
}

/// What a function has of everything that has a limit.
#[derive(Default)]
struct Count {
    body_bytes: u64,
    locals: u64,
    stack_values: u64,
    table_targets: u64,
    blocks_values: u64,
    blocks: u64,
    branches: u64,
    loops_nested: u64,
}

impl Count {
    /// Validates and counts one function.
    fn of(
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
        allocations: FuncValidatorAllocations,
    ) -> Result<(Self, FuncValidatorAllocations), wasmparser::Error> {
        let mut validator = function.into_validator(allocations);
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader)?;
        let range = body.range();
        let mut count =
            Self { body_bytes: range.end - range.start, locals: validator.len_locals().into(), ..Self::default() };
        let mut operators = OperatorsReader::new(reader);
        // Which of the blocks that are open are loops; the function's own is the first.
        let mut open = vec![false];
        let mut loops = 0;
        while !operators.eof() {
            let offset = operators.original_position();
            let operator = operators.read()?;
            validator.op(offset, &operator)?;
            match operator {
                Operator::Block { blockty } | Operator::If { blockty } => {
                    count.block(blockty, &validator);
                    open.push(false);
                }
                Operator::Loop { blockty } => {
                    count.block(blockty, &validator);
                    open.push(true);
                    loops += 1;
                    count.loops_nested = count.loops_nested.max(loops);
                }
                Operator::End => loops -= u64::from(open.pop() == Some(true)),
                Operator::Br { .. } | Operator::BrIf { .. } => count.branches += 1,
                Operator::BrTable { ref targets } => {
                    let targets = u64::from(targets.len());
                    count.branches += targets + 1;
                    count.table_targets = count.table_targets.max(targets);
                }
                _ => {}
            }
            count.stack_values = count.stack_values.max(validator.operand_stack_height().into());
        }
        operators.finish()?;
        Ok((count, validator.into_allocations()))
    }

    fn block(&mut self, r#type: BlockType, validator: &FuncValidator<ValidatorResources>) {
        self.blocks += 1;
        let values = match r#type {
            BlockType::Empty => 0,
            BlockType::Type(_) => 1,
            BlockType::FuncType(index) => {
                let function = validator.resources().sub_type_at(index).map(wasmparser::SubType::unwrap_func);
                function.map_or(0, |function| function.params().len() + function.results().len())
            }
        };
        self.blocks_values += values as u64;
    }

    /// What there is too much of, how much there is, and how much is allowed.
    fn excesses(self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        let carried = (self.locals + self.stack_values).saturating_mul(self.blocks + self.branches);
        [
            ("locals, parameters among them", self.locals, LOCALS_MAX),
            ("bytes of its body", self.body_bytes, BODY_BYTES_MAX),
            ("blocks", self.blocks, BLOCKS_MAX),
            ("loops in each other", self.loops_nested, LOOPS_NESTED_MAX),
            ("parameters and results of its blocks", self.blocks_values, BLOCKS_VALUES_MAX),
            ("values on the stack", self.stack_values, STACK_VALUES_MAX),
            ("targets of a br_table", self.table_targets, TABLE_TARGETS_MAX),
            ("locals and values on the stack, times blocks and branches", carried, CARRIED_VALUES_MAX),
        ]
        .into_iter()
        .filter(|(_, found, limit)| found > limit)
    }
}

/// What functions are called: the name that one is exported as, or else the one that its compiler noted.
fn names(module: &[u8]) -> BTreeMap<u32, String> {
    let (mut exported, mut noted) = (BTreeMap::new(), BTreeMap::new());
    for payload in Parser::new(0).parse_all(module).flatten() {
        match payload {
            Payload::ExportSection(exports) => {
                let functions = exports.into_iter().flatten().filter(|export| export.kind == ExternalKind::Func);
                exported.extend(functions.map(|export| (export.index, shortened(export.name))));
            }
            Payload::CustomSection(section) => {
                let KnownCustom::Name(sections) = section.as_known() else { continue };
                for section in sections.into_iter().flatten() {
                    let Name::Function(functions) = section else { continue };
                    noted.extend(functions.into_iter().flatten().map(|name| (name.index, shortened(name.name))));
                }
            }
            _ => {}
        }
    }
    noted.extend(exported);
    noted
}

fn shortened(name: &str) -> String {
    name.chars().take(EXPORT_NAME_BYTES_MAX).collect()
}
