/** A build that can never run as it is written: ends it with the reason BuildValidationFailed. */
export class InvalidBuildError extends Error {
  /** `reason`, when given, leads the message: `UnsatisfiedParameter: …`. */
  constructor(message: string, reason?: string) {
    super(reason === undefined ? message : `${reason}: ${message}`);
    this.name = 'InvalidBuildError';
  }
}
