/** Version of this package; a test keeps the manifests equal to it. */
export const VERSION = '0.1.0'
