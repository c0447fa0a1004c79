// What the handset keeps: keys and names of keys, in IndexedDB, which holds keys that no script can read out.

const NAME = "sca-handset";
const SHELF = "kept";

function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(SHELF);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function asked(mode, ask) {
  const base = await opened();
  try {
    return await new Promise((resolve, reject) => {
      const request = ask(base.transaction(SHELF, mode).objectStore(SHELF));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } finally {
    base.close();
  }
}

export function keep(payer, name, value) {
  return asked("readwrite", (shelf) => shelf.put(value, `${payer.id}/${name}`));
}

export function kept(payer, name) {
  return asked("readonly", (shelf) => shelf.get(`${payer.id}/${name}`));
}

export function forget(payer, name) {
  return asked("readwrite", (shelf) => shelf.delete(`${payer.id}/${name}`));
}

export function clear() {
  return asked("readwrite", (shelf) => shelf.clear());
}
