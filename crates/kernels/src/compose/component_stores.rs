//! Finds stores to single components of vectors that a workgroup shares.
//!
//! For such a store, WGSL lets a device write the whole vector, and naga's output for Metal and Direct3D does so. Then
//! neighbouring threads undo one another's writes. So threads must write whole vectors, or plain numbers.

use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{AddressSpace, Block, Expression, Function, Handle, Module, Statement, StorageAccess, TypeInner};

/// The names of the functions with such a store.
pub(super) fn component_stores(module: &Module, info: &ModuleInfo) -> Vec<String> {
    let functions = module.functions.iter().map(|(handle, function)| (function, &info[handle]));
    let entries = module.entry_points.iter().enumerate();
    functions
        .chain(entries.map(|(index, entry)| (&entry.function, info.get_entry_point(index))))
        .filter(|(function, info)| stores_a_component(&Context { module, function, info }, &function.body))
        .map(|(function, _)| function.name.clone().unwrap_or_default())
        .collect()
}

struct Context<'a> {
    module: &'a Module,
    function: &'a Function,
    info: &'a FunctionInfo,
}

fn stores_a_component(context: &Context<'_>, block: &Block) -> bool {
    block.iter().any(|statement| match statement {
        Statement::Store { pointer, .. } => context.is_component(*pointer),
        Statement::Block(block) => stores_a_component(context, block),
        Statement::If { accept, reject, .. } => {
            stores_a_component(context, accept) || stores_a_component(context, reject)
        }
        Statement::Switch { cases, .. } => cases.iter().any(|case| stores_a_component(context, &case.body)),
        Statement::Loop { body, continuing, .. } => {
            stores_a_component(context, body) || stores_a_component(context, continuing)
        }
        _ => false,
    })
}

impl Context<'_> {
    /// Whether a pointer is to a component of a vector in memory that threads share.
    fn is_component(&self, pointer: Handle<Expression>) -> bool {
        let (Expression::Access { base, .. } | Expression::AccessIndex { base, .. }) =
            self.function.expressions[pointer]
        else {
            return false;
        };
        let (is_vector, space) = match *self.info[base].ty.inner_with(&self.module.types) {
            TypeInner::Pointer { base, space } => {
                (matches!(self.module.types[base].inner, TypeInner::Vector { .. }), space)
            }
            TypeInner::ValuePointer { size, space, .. } => (size.is_some(), space),
            _ => return false,
        };
        let is_shared = match space {
            AddressSpace::WorkGroup => true,
            AddressSpace::Storage { access } => access.contains(StorageAccess::STORE),
            _ => false,
        };
        is_vector && is_shared
    }
}
