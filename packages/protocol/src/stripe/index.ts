/** Stripe descriptors: spec/stripe.md. */

export * from './stripe.ts'
