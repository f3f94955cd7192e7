// Imports modules for what drivers run, which not all of them let import by itself.
globalThis.load = (path) => import(path);
