export * from './doctor-service.ts'
